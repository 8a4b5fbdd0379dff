"""A backbone ready to be exported, wherever it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onnx import ModelProto

from build_engines.export.preprocessing import DataConfig, ServedBackbone


@dataclass(frozen=True)
class Model:
    """Hold what is exported, and what the export must agree with.

    Attributes:
        served: Answers as the export must, in FP32.
        data: How the backbone wants its images.
        gmacs: Multiply-accumulates of one image in units of 10⁹, preprocessing left out.
        graph: Makes the whole graph in FP32: `image` UINT8 [B, S, S, 3] to `probabilities` FP32 [B, C].
    """

    served: ServedBackbone
    data: DataConfig
    gmacs: float
    graph: Callable[[], ModelProto]
