"""Exported backbones to a Triton model repository, and what it serves."""
