"""The errors of build_engines; every message says how to fix what it names.

BuildError
├── PoolError       the pool file cannot be used
├── WeightsError    the weights are missing or do not fit the backbone
├── CheckError      a built file does not agree with the model it was built from
├── PlanError       a TensorRT plan is missing, out of date or cannot be built here
├── ServedError     a served model is not there, fails, or is another one
└── CostError       a cost is missing, or is none
"""


class BuildError(Exception):
    """Base of every error that build_engines raises on purpose."""


class PoolError(BuildError):
    """Say what is wrong in a pool file."""


class WeightsError(BuildError):
    """Say which weights are missing or do not fit."""


class CheckError(BuildError):
    """Say which built file disagrees with its source, and by how much."""


class PlanError(BuildError):
    """Say why there is no TensorRT plan to use, and how to get one."""


class ServedError(BuildError):
    """Say which served model does not answer as it should, and why."""


class CostError(BuildError):
    """Say which cost is missing or impossible."""
