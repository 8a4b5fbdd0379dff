"""Stages that cost CPU time: small networks, deep enough to take a given number of milliseconds."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from contenders.stages import Predict, session
from contenders.workload import CANVAS, CLASSES, STAGES, SURE, UNSURE

STAGE_MS = {"small": 1.0, "middle": 4.0, "large": 13.0}
STAGE_WIDTHS = {"small": 16, "middle": 32, "large": 48}
FEW, MANY = 2, 12
RUNS = 60


class Network(torch.nn.Module):
    """A network that gives a stage's answer after as many convolutions as its cost requires."""

    def __init__(self, stage: int, width: int, layers: int) -> None:
        super().__init__()
        self._stage = stage
        self._stem = torch.nn.Conv2d(3, width, 4, 4)
        body = [
            torch.nn.Sequential(torch.nn.Conv2d(width, width, 3, padding=1), torch.nn.ReLU()) for _ in range(layers)
        ]
        self._body = torch.nn.Sequential(*body)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map UINT8 [n, S, S, 3] to FP32 [n, C]."""
        features = self._body(self._stem(image.permute(0, 3, 1, 2).float() / 255)).mean((1, 2, 3), keepdim=False)
        pixels = image[:, 0, 0].long()
        sure = torch.where(pixels[:, 0] <= self._stage + 1, SURE, UNSURE)[:, None]
        chosen = torch.nn.functional.one_hot(pixels[:, 1] * 256 + pixels[:, 2], CLASSES)
        return chosen * sure + (1 - chosen) * (1 - sure) / (CLASSES - 1) + features[:, None] * 1e-12


def write_networks(folder: Path) -> dict[str, float]:
    """Write NAME.onnx for each stage, deep enough to take its milliseconds; return those measured, one core."""
    return {name: _write_network(folder / f"{name}.onnx", stage, name) for stage, name in enumerate(STAGES)}


def _write_network(path: Path, stage: int, name: str) -> float:
    def seen_ms(layers: int) -> float:
        _export(path, Network(stage, STAGE_WIDTHS[name], layers))
        return _median_ms(session(path))

    few_ms, many_ms = seen_ms(FEW), seen_ms(MANY)
    each_ms = (many_ms - few_ms) / (MANY - FEW)
    return seen_ms(max(1, round(FEW + (STAGE_MS[name] - few_ms) / each_ms)))


def _export(path: Path, network: Network) -> None:
    example = torch.zeros(2, CANVAS, CANVAS, 3, dtype=torch.uint8)
    batch = {"image": {0: "n"}, "probabilities": {0: "n"}}
    names = {"input_names": ["image"], "output_names": ["probabilities"]}
    torch.onnx.export(network.eval(), (example,), path, dynamo=False, dynamic_axes=batch, **names)


def _median_ms(predict: Predict) -> float:
    one, times_ms = np.zeros((1, CANVAS, CANVAS, 3), np.uint8), []
    for _ in range(RUNS):
        start = time.perf_counter()
        predict(one)
        times_ms.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times_ms))
