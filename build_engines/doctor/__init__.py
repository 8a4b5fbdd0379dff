"""Examine a model repository: what fits, what does not, and what to do."""
