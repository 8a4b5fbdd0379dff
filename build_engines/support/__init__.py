"""Shared by all packages: atomic writes, progress, and the terminal."""
