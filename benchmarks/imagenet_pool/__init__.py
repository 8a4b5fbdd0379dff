"""The parts of `benchmarks/imagenet_served.py`."""
