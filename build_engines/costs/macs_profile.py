"""What a pool's backbones cost, counted without pretrained weights."""

from __future__ import annotations

from dataclasses import dataclass

from build_engines.export import onnx_source as onnx_backbone
from build_engines.export import timm_source as timm_backbone
from build_engines.export.timm_catalog import licence, of_timm
from build_engines.pool.schema import Backbone, OnnxBackbone, Pool


@dataclass(frozen=True)
class Profile:
    """Describe one backbone.

    Attributes:
        gmacs: Multiply-accumulates of one image in units of 10⁹, attention included.
        parameters: How many numbers its weights are.
        weights: Their file, or timm's name of them.
        licence: Of pretrained weights, as timm names it.
    """

    backbone: Backbone
    gmacs: float
    parameters: int
    weights: str
    licence: str


def profile(pool: Pool, backbone: Backbone) -> Profile:
    """Count what one image costs in a backbone.

    Raises:
        PoolError: unknown architecture or arguments.
        WeightsError: an ONNX file is missing or cannot be used.
    """
    if isinstance(backbone, OnnxBackbone):
        gmacs, parameters = onnx_backbone.gmacs(pool, backbone), onnx_backbone.parameters(pool, backbone)
        return Profile(backbone, gmacs, parameters, backbone.onnx, licence(backbone))
    known = of_timm(backbone)
    weights = known.architecture if known.is_pretrained else known.weights
    gmacs, parameters = timm_backbone.gmacs(known), timm_backbone.parameters(known)
    return Profile(known, gmacs, parameters, weights, licence(known))
