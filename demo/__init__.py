"""The demo: train a small pool on real digits, choose a cascade of it, serve it."""
