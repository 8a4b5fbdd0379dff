"""Choose which backbones of a pool to run, in which order, and when to stop."""
