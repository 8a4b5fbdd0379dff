"""The errors of build_cascade; every message says how to fix what it names.

ChoiceError
├── PredictionError    predictions are missing, damaged, or do not belong together
└── GoalError          no cascade reaches the goal, or an option is invalid
"""


class ChoiceError(Exception):
    """Base of every error that build_cascade raises on purpose."""


class PredictionError(ChoiceError):
    """Predictions that are missing, damaged, or do not belong together."""


class GoalError(ChoiceError):
    """A goal that no cascade reaches, or that is not one; the message says what is possible."""
