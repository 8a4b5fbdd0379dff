"""A backbone's network, ready to be exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onnx import ModelProto

from build_engines.export.preprocessing import DataConfig, ServedBackbone


@dataclass(frozen=True)
class SourceModel:
    """What is exported, and what the exported file is compared with.

    Attributes:
        served: The reference in PyTorch, FP32: UINT8 [B, S, S, 3] to probabilities FP32 [B, C].
        data: The backbone's preprocessing.
        gmacs: Multiply-accumulates of one image in units of 10⁹, preprocessing left out.
        graph: Makes the whole graph in FP32: `image` UINT8 [B, S, S, 3] to `probabilities` FP32 [B, C].
    """

    served: ServedBackbone
    data: DataConfig
    gmacs: float
    graph: Callable[[], ModelProto]
