"""Labelled images for a benchmark: one folder per class, and loads with a given mix of exit stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cascade_client.errors import BenchError

EXTENSIONS = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
SEED = 0

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Labelled:
    """Image files, each with the name of its class folder.

    Attributes:
        paths: N image files, spread evenly over the classes.
        folders: N names of class folders.
        classes: The names of all class folders, sorted.
    """

    paths: tuple[Path, ...]
    folders: tuple[str, ...]
    classes: tuple[str, ...]

    def class_ids(self, answered: Mapping[int, str]) -> Ids:
        """Return the class of each image, INT64 [N].

        Args:
            answered: The class ids, with their labels, that the cascade has answered. Folders are matched with labels
                by name, ignoring case; if no name matches, the folders sorted by name are the class ids in order.

        Raises:
            BenchError: some folder names match labels and others do not.
        """
        order = dict(enumerate(self.classes))
        answered = {class_id: self._spelt(label) for class_id, label in answered.items()}
        by_name = set(answered.values()) & set(self.classes)
        if by_name and any(order.get(class_id) != label for class_id, label in answered.items()):
            order = self._order_by_name(answered)
        ids = {name: class_id for class_id, name in order.items()}
        return np.array([ids[folder] for folder in self.folders], dtype=np.int64)

    def _spelt(self, label: str) -> str:
        """Return a label in the spelling of the one class folder that equals it but for case."""
        alike = [name for name in self.classes if name.casefold() == label.casefold()]
        return alike[0] if len(alike) == 1 else label

    def _order_by_name(self, answered: Mapping[int, str]) -> dict[int, str]:
        left_ids = [class_id for class_id in range(len(self.classes)) if class_id not in answered]
        left_names = sorted(set(self.classes) - set(answered.values()))
        if len(left_ids) != len(left_names) or len(left_names) > 1:
            raise BenchError(
                f"cannot match the class folders {', '.join(left_names[:5])} with labels: the cascade answers "
                f"{', '.join(sorted(set(answered.values()))[:5])}; name the folders like its labels, or provide more "
                "images"
            )
        return {**answered, **dict(zip(left_ids, left_names, strict=True))}


def open_labelled(root: Path, classes: int, most: int) -> Labelled:
    """List at most `most` images of a folder with one subfolder per class, spread evenly over the classes.

    Raises:
        BenchError: the folder does not exist, has not one subfolder per class, or one of them has no image.
    """
    if not root.is_dir():
        raise BenchError(f"{root} is not a folder; expected one with a subfolder of images per class")
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir())
    if len(folders) != classes:
        raise BenchError(f"{root} has {len(folders)} class folders but the cascade has {classes} classes")
    found = [(path, folder.name) for folder in folders for path in _images(folder)]
    rows = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int))
    paths, names = zip(*(found[row] for row in rows), strict=True)
    return Labelled(paths, names, tuple(folder.name for folder in folders))


def rows_at_mix(exit_stages: Ids, mix: Sequence[float] | None, count: int) -> Ids:
    """Choose images with a given mix of exit stages, in random order.

    Args:
        exit_stages: INT64 [N], the stage at which each image exits; 1 is the first.
        mix: Share of each stage, in any unit; that of the images themselves if None.
        count: Number of images to choose; they are repeated if too few exit at a stage.

    Returns:
        INT64 [count], rows of the images.

    Raises:
        BenchError: no image exits at a stage that has a share.
    """
    generator = np.random.default_rng(SEED)
    if mix is None:
        return generator.permutation(len(exit_stages))[:count]
    ends = (np.cumsum(mix) / sum(mix) * count).round().astype(int)
    chosen = []
    for stage, wanted in enumerate(np.diff(ends, prepend=0), start=1):
        rows = generator.permutation(np.flatnonzero(exit_stages == stage))
        if wanted and not len(rows):
            raise BenchError(
                f"no image exits at stage {stage}, so its share cannot be met; choose another mix or other images"
            )
        chosen.append(np.resize(rows, wanted))
    return generator.permutation(np.concatenate(chosen))


def exit_mix(exit_stages: Ids, stages: int) -> list[float]:
    """Return the share of the images that exit at each stage."""
    return [float(np.mean(exit_stages == stage)) for stage in range(1, stages + 1)]


def _images(folder: Path) -> list[Path]:
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)
    if not images:
        raise BenchError(
            f"class folder {folder} has no images ({', '.join(sorted(EXTENSIONS))}); add some or remove it"
        )
    return images
