"""What serves the same cascade of three stages, each in its own way, for benchmarks/serving.py."""
