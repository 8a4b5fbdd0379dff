"""Collect predictions through the served backbones: thresholds are chosen on what will be served."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from build_engines.files import fingerprint, write_text_whole
from build_engines.image_folder import ImageFolder
from numpy.lib.format import open_memmap

from build_cascade.errors import PredictionError
from build_cascade.predictions import Probabilities, check_probabilities
from build_cascade.served import ServedModel

MADE_FROM = "onnx_sha256"


def predict(
    served: ServedModel, images: ImageFolder, classes: int, folder: Path, on_images: Callable[[int], None]
) -> bool:
    """Collect one backbone's predictions into `<folder>/<backbone>.npy`, FP16 [N, C].

    A run that is interrupted goes on where it stopped; the file appears when it is whole.

    Args:
        served: The served backbone.
        images: N labelled images.
        classes: Number of classes, C.
        folder: Where the predictions of these images lie.
        on_images: Told the number of images done.

    Returns:
        Whether anything was collected; predictions of the same graph on the same images are kept.

    Raises:
        ChoiceError: the server is not there or the backbone fails.
        PredictionError: the backbone is not of this pool, or answers no probabilities.
    """
    config = served.config
    canvas, max_batch_size = config.input[0].dims[0], config.max_batch_size
    if list(config.output[0].dims) != [classes]:
        raise PredictionError(f"served model {served.name!r} answers {config.output[0].dims} instead of {classes} classes")
    made_of = fingerprint(config.parameters[MADE_FROM].string_value, str(canvas), images_fingerprint(images))
    record = folder / f"{served.name}.json"
    if (folder / f"{served.name}.npy").is_file() and _recorded(record) == made_of:
        on_images(len(images))
        return False
    partial = _open_partial(folder / f".{served.name}.partial.npy", made_of, (len(images), classes))
    for start in range(_rows_done(partial), len(images), max_batch_size):
        canvases = images.canvases(canvas, start, start + max_batch_size)
        partial[start : start + len(canvases)] = served.infer(canvases)
        on_images(start + len(canvases))
    _finish(partial, folder, served.name, made_of)
    return True


def images_fingerprint(images: ImageFolder) -> str:
    """Return a fingerprint of the image files: their names, sizes and times."""
    stats = [path.stat() for path in images.paths]
    return fingerprint(*(f"{name} {s.st_size} {s.st_mtime_ns}" for name, s in zip(images.image_ids, stats, strict=True)))


def _open_partial(path: Path, made_of: str, shape: tuple[int, int]) -> npt.NDArray[np.float16]:
    """Open the unfinished predictions, or start them: rows not yet collected are NaN."""
    owner = path.with_suffix(".json")
    if path.is_file() and _recorded(owner) == made_of:
        try:
            partial = open_memmap(path, mode="r+")
        except ValueError:  # cut short while it was created
            path.unlink()
        else:
            return partial  # type: ignore[no-any-return]
    path.parent.mkdir(parents=True, exist_ok=True)
    owner.unlink(missing_ok=True)
    partial = open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    partial[:] = np.nan
    write_text_whole(owner, json.dumps(made_of))
    return partial  # type: ignore[no-any-return]


def _rows_done(partial: Probabilities) -> int:
    missing = np.isnan(partial[:, 0])
    return int(np.argmax(missing)) if missing.any() else len(partial)


def _finish(partial: Probabilities, folder: Path, name: str, made_of: str) -> None:
    check_probabilities(name, partial)
    if isinstance(partial, np.memmap):
        partial.flush()
    aside = folder / f".{name}.partial.npy"
    (folder / f"{name}.json").unlink(missing_ok=True)
    aside.replace(folder / f"{name}.npy")
    write_text_whole(folder / f"{name}.json", json.dumps(made_of))
    aside.with_suffix(".json").unlink()


def _recorded(record: Path) -> str | None:
    try:
        return str(json.loads(record.read_text()))
    except (OSError, ValueError):
        return None
