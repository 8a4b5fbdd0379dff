"""Where a backbone's network comes from: a timm architecture or an ONNX file."""

from __future__ import annotations

from typing import Protocol

from build_engines.export.onnx_source import OnnxSource
from build_engines.export.preprocessing import ServedBackbone
from build_engines.export.source_model import SourceModel
from build_engines.export.timm_catalog import require_timm
from build_engines.export.timm_source import TimmSource
from build_engines.pool.artifacts import BackboneBuild
from build_engines.pool.schema import OnnxBackbone


class BackboneSource(Protocol):
    """The network of one backbone.

    Every method raises PoolError for an architecture or arguments that are unknown, and WeightsError for weights that
    are missing or do not fit, or an ONNX file that is not what the pool file says.
    """

    @property
    def weights(self) -> str:
        """The name of the weights: their file, or timm's."""

    @property
    def licence(self) -> str | None:
        """The licence of the weights, where it is known."""

    def check(self) -> None:
        """Check, as far as that takes no time, that the network can be opened."""

    def open(self) -> SourceModel:
        """Open the network, ready to be exported."""

    def torch_module(self) -> ServedBackbone:
        """Return the network as one PyTorch module; raises PoolError where the source is not PyTorch's."""

    def gmacs(self) -> float:
        """Count the multiply-accumulates of one image, in units of 10⁹."""

    def parameters(self) -> int:
        """Count the numbers that the weights consist of."""


def source_of(built: BackboneBuild) -> BackboneSource:
    """Return the source of a backbone's network: the one place that asks which kind it is of."""
    if isinstance(built.backbone, OnnxBackbone):
        return OnnxSource(built.pool, built.backbone)
    return TimmSource(built.pool, require_timm(built.backbone))
