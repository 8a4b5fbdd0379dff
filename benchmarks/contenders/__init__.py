"""Servers of the same cascade of three stages, each by a different method, for benchmarks/serving.py."""
