"""The cost of a pool's backbones, counted without pretrained weights."""

from __future__ import annotations

from dataclasses import dataclass

from build_engines.export.source import source_of
from build_engines.pool.artifacts import BackboneBuild, PoolBuild
from build_engines.pool.schema import Backbone
from build_engines.support.progress import OnProgress, ignore_progress, tracked


@dataclass(frozen=True)
class Profile:
    """The cost and the weights of one backbone.

    Attributes:
        gmacs: Multiply-accumulates of one image in units of 10⁹, attention included.
        parameters: How many numbers the weights consist of.
        weights: Their file, or timm's name for them.
        licence: Of pretrained weights, as timm names it; None where it is unknown.
    """

    backbone: Backbone
    gmacs: float
    parameters: int
    weights: str
    licence: str | None


def profile_pool(build: PoolBuild, on_progress: OnProgress = ignore_progress) -> list[Profile]:
    """Count the cost of one image in every backbone of a pool; raises what `profile` does."""
    return [profile(built) for built in tracked(list(build), "counting", on_progress)]


def profile(built: BackboneBuild) -> Profile:
    """Count the cost of one image in a backbone.

    Raises:
        PoolError: unknown architecture or arguments.
        WeightsError: an ONNX file is missing or cannot be used.
    """
    source = source_of(built)
    return Profile(built.backbone, source.gmacs(), source.parameters(), source.weights, source.licence)
