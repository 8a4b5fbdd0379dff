"""The errors of build_engines; every message says how to fix what it names.

BuildError
├── PoolError          the pool file cannot be used
├── WeightsError       the weights are missing or do not fit the backbone
├── CheckError         a built file does not agree with the model that it was built from
├── PlanError          a TensorRT plan is missing or out of date, or cannot be built here
├── ServedError        a served model is missing, fails, or is not the expected one
├── CostError          a cost is missing or impossible
└── ImageSourceError   a folder or list of images cannot be used
    └── UnknownLabelError   the images can be, but not their labels

Two errors stand outside of the tree, because their files are copied to where build_engines is not installed:
EngineError (repository/runtimes/torch/engine.py), which the served model turns into Triton's own error, and
UnusableImage (images/canvas.py), which belongs to the client.
"""


class BuildError(Exception):
    """Base of every error that build_engines raises on purpose."""


class PoolError(BuildError):
    """An unusable pool file."""


class WeightsError(BuildError):
    """Weights that are missing or do not fit."""


class CheckError(BuildError):
    """A built file that disagrees with its source beyond the tolerance."""


class PlanError(BuildError):
    """A TensorRT plan that is missing or cannot be built."""


class ServedError(BuildError):
    """A served model that does not answer as it should."""


class CostError(BuildError):
    """A cost that is missing or impossible."""


class ImageSourceError(BuildError):
    """An unusable folder or list of images."""


class UnknownLabelError(ImageSourceError):
    """Images whose labels, or the names of their folders, do not stand for labels of the pool.

    Attributes:
        found: What does not fit.
    """

    def __init__(self, found: str, advice: str) -> None:
        """Say what does not fit and how to fix it."""
        super().__init__(f"{found}; {advice}")
        self.found = found
