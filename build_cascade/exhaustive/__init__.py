"""Every cascade of a pool, every cell of a grid of thresholds: counted by histograms and prefix sums."""
