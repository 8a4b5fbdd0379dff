"""Small pools and images for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import yaml

from build_engines.pool.schema import Pool, load_pool
from cascade_core.gating import accumulate, max_probability, mean_prediction

CANVAS = 32
CLASSES = 5
LABELS = ("ant", "bee", "cat", "dog", "eel")


def backbone_entry(name: str, **changes: object) -> dict[str, object]:
    """A tiny ViT: the fastest thing that timm makes."""
    entry: dict[str, object] = {
        "name": name,
        "architecture": "vit_tiny_patch16_224",
        "arguments": {"patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2},
        "weights": f"{name}.safetensors",
        "input_size": 16,
        "classes": CLASSES,
        "crop_pct": 1.0,
        "max_batch_size": 8,
    }
    return entry | changes


def write_pool(folder: Path, *backbones: dict[str, object], **changes: object) -> Path:
    """Write a pool file of the given backbones."""
    content = {"name": "tiny", "canvas": CANVAS, "labels": list(LABELS), "backbones": list(backbones)} | changes
    path = folder / "pool.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def pool_of(folder: Path, *backbones: dict[str, object], **changes: object) -> Pool:
    """Write a pool file of the given backbones, and read it."""
    return load_pool(write_pool(folder, *backbones, **changes))


def save_random_weights(pool: Pool, seed: int = 0) -> None:
    """Give every backbone random weights that answer with different confidences for different images."""
    import torch
    from safetensors.torch import save_file

    from build_engines.export.timm_model import create

    for place, backbone in enumerate(pool.backbones):
        torch.manual_seed(seed + place)
        model = create(backbone)
        head = model.get_classifier()
        torch.nn.init.normal_(head.weight, std=1.0)
        save_file(model.state_dict(), pool.weights_file(backbone))


def random_canvases(count: int, seed: int = 0, size: int = CANVAS) -> np.ndarray:
    """Smooth random images, UINT8 [count, size, size, 3]: unlike pure noise they differ after downsizing."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2)


def onnx_probabilities(path: Path, images: np.ndarray) -> np.ndarray:
    """What a served backbone answers, FP32 [N, C]."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"image": images})[0]


def spread_thresholds(predictions: list[np.ndarray], weights: tuple[float, ...], share: float) -> tuple[float, ...]:
    """Thresholds at which about `share` of the images that reach a stage leave there."""
    thresholds, total, open_rows = [], None, np.arange(len(predictions[0]))
    for stage in range(1, len(predictions)):
        total = accumulate(total, predictions[stage - 1], weights[stage - 1])
        confidence = max_probability(mean_prediction(total, weights[:stage]))
        thresholds.append(float(np.quantile(confidence[open_rows], 1 - share)))
        open_rows = open_rows[confidence[open_rows] < thresholds[-1]]
    return tuple(thresholds)
