"""Preprocessing inside the graph: canvas to input size, normalisation, classes with a label, softmax.

Resizing is two constant matrix products, y = A·x·Aᵀ, where A holds the weights of an antialiased resize followed by
a centre crop: TensorRT's parser takes it, and every backbone of a cascade takes the same UINT8 canvas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from build_engines.pool.schema import Channels


@dataclass(frozen=True)
class DataConfig:
    """The input that a backbone expects, in timm's terms.

    Attributes:
        input_size: Side of the square input, in pixels.
        crop_pct: Share of the resized image's side that the centre crop keeps.
        interpolation: `bicubic` or `bilinear`, both antialiased.
        mean: Of each channel, for pixels in 0..1.
        std: Of each channel, for pixels in 0..1.
    """

    input_size: int
    crop_pct: float
    interpolation: str
    mean: Channels
    std: Channels


def resize_matrix(canvas: int, data: DataConfig) -> Tensor:
    """Return A, FP32 [input_size, canvas]: antialiased resize of a row of pixels, then centre crop.

    The image is resized to floor(input_size / crop_pct), as timm's evaluation transform does.
    """
    resized = math.floor(data.input_size / data.crop_pct)
    identity = torch.eye(canvas)[None, None]
    rows = F.interpolate(identity, (resized, canvas), mode=data.interpolation, antialias=True)[0, 0]
    top = round((resized - data.input_size) / 2)
    return rows[top : top + data.input_size].contiguous()


class Preprocessing(nn.Module):
    """The module from canvases, UINT8 [B, S, S, 3], to normalised FP32 [B, 3, input_size, input_size]."""

    def __init__(self, canvas: int, data: DataConfig) -> None:
        super().__init__()
        matrix = resize_matrix(canvas, data)
        self.is_identity = matrix.shape[0] == canvas and torch.equal(matrix, torch.eye(canvas))
        self.register_buffer("matrix", matrix)
        self.register_buffer("mean", torch.tensor(data.mean).view(3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(data.std).view(3, 1, 1) * 255)

    def forward(self, image: Tensor) -> Tensor:
        """Resize, crop and normalise a batch of canvases."""
        # TensorRT supports UINT8 only as an input, so it is cast first. Without .contiguous() the exporter keeps
        # channels-last strides and emits Range and Gather on the batch.
        pixels = image.float().permute(0, 3, 1, 2).contiguous()
        return (self.resize(pixels) - self.get_buffer("mean")) / self.get_buffer("std")

    def resize(self, pixels: Tensor) -> Tensor:
        """Resize and crop FP32 [B, 3, S, S] in 0..255: rows, then columns, each clamped to 0..255 as in Pillow."""
        if self.is_identity:
            return pixels
        matrix = self.get_buffer("matrix")
        rows = (pixels @ matrix.T).clamp(0, 255)
        return (matrix @ rows).clamp(0, 255)


class KeptClasses(nn.Module):
    """A network, FP32 images to logits [B, C], without the classes that have no label."""

    def __init__(self, network: nn.Module, kept: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("kept", torch.tensor(kept))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits of the kept classes."""
        logits: Tensor = self.network(pixels)
        return logits.index_select(1, self.get_buffer("kept"))


class ServedBackbone(nn.Module):
    """The module that Triton serves of a backbone: UINT8 [B, S, S, 3] to probabilities FP32 [B, C]."""

    def __init__(self, preprocessing: Preprocessing, backbone: nn.Module) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.backbone = backbone

    def forward(self, image: Tensor) -> Tensor:
        """Classify a batch of canvases."""
        return torch.softmax(self.backbone(self.preprocessing(image)).float(), dim=1)
