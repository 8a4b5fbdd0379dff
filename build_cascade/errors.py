"""The errors of build_cascade; every message says how to fix what it names.

ChoiceError
├── PredictionError    predictions are missing, half-written, or do not belong together
└── GoalError          no cascade reaches the goal
"""


class ChoiceError(Exception):
    """Base of every error that build_cascade raises on purpose."""


class PredictionError(ChoiceError):
    """Say what is wrong with collected predictions."""


class GoalError(ChoiceError):
    """Say which goal cannot be reached, and what can."""
