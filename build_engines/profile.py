"""What a pool's backbones cost, counted without weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from build_engines.backbone import create, gmacs
from build_engines.pool import Backbone
from build_engines.zoo import licence


@dataclass(frozen=True)
class Profile:
    """Describe one backbone.

    Attributes:
        gmacs: Multiply-accumulates of one image in units of 10⁹, attention included.
        parameters: How many numbers its weights are.
        licence: Of pretrained weights, as timm names it.
    """

    backbone: Backbone
    gmacs: float
    parameters: int
    licence: str


def profile(backbone: Backbone) -> Profile:
    """Count what one image costs in a backbone.

    Raises:
        PoolError: unknown architecture or arguments.
    """
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in create(backbone).parameters())
    return Profile(backbone, gmacs(backbone), parameters, licence(backbone))
