"""Handwritten digits: train a small pool of backbones, choose a cascade and serve it."""
