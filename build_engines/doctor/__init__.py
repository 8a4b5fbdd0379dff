"""Look at a model repository and say what fits, what does not, and what to do."""
