"""What an image, or a call, costs in a backbone, counted without weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from build_engines.costs.macs_profile import profile
from build_engines.pool.artifacts import BackboneBuild, PoolBuild
from build_engines.pool.schema import Pool
from gpu_bench.studies import Line

WEIGHT_BYTES = {"fp32": 4, "fp16": 2}


@dataclass(frozen=True)
class Cost:
    """The cost of a backbone.

    Attributes:
        gmacs: Multiply-accumulates of an image in units of 10⁹, without the resize from the canvas.
        weight_bytes: The bytes of weights that a call reads at least.
    """

    gmacs: float
    weight_bytes: float


def costs(pool: Pool) -> dict[str, Cost]:
    """Return the cost of each backbone, by name."""
    return {built.name: _cost(built) for built in PoolBuild.of(pool)}


def mean_gmacs(line: Line, costs: Mapping[str, Cost]) -> float:
    """Return the multiply-accumulates of an image at the line's exit rates, in units of 10⁹."""
    return sum(share * costs[name].gmacs for share, name in zip(line.reached, line.stages, strict=True))


def _cost(built: BackboneBuild) -> Cost:
    counted = profile(built)
    return Cost(counted.gmacs, counted.parameters * WEIGHT_BYTES[built.backbone.precision])
