"""scikit-learn's scans of handwritten digits as an image folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

TRAIN_IMAGES, CALIBRATION_IMAGES = 800, 500  # of 1,797; the other 497 are the test images
SIDE_PIXELS = 48  # the scans have 8x8 pixels; enlarged so that they can be looked at
SEED = 7

Scan = npt.NDArray[np.uint8]


def write_digits(root: Path) -> None:
    """Write `train/`, `calibration/` and `test/`, one folder per class, in a fixed stratified split.

    The folder is written atomically.
    """
    digits = load_digits()
    scans = np.round(digits.images * 255 / 16).astype(np.uint8)
    aside = root.with_name(root.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    for split, rows in _splits(digits.target).items():
        for row in rows:
            _write(scans[row], aside / split / str(digits.target[row]) / f"{row:04d}.png")
    shutil.rmtree(root, ignore_errors=True)
    aside.rename(root)


def _splits(targets: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.int64]]:
    rows = np.arange(len(targets))
    train, rest = train_test_split(rows, train_size=TRAIN_IMAGES, stratify=targets, random_state=SEED)
    calibration, test = train_test_split(rest, train_size=CALIBRATION_IMAGES, stratify=targets[rest], random_state=SEED)
    return {"train": train, "calibration": calibration, "test": test}


def _write(scan: Scan, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scan).resize((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.BICUBIC).save(path)
