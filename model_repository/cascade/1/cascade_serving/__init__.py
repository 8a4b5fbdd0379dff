"""The cascade as Triton's Python backend runs it."""
