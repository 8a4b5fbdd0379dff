"""Labelled images for a measurement: one folder a class, at a known mix of exits."""

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
    """List image files, each with the name of the class folder that it lies in.

    Attributes:
        paths: N image files, spread over the classes.
        folders: N names of class folders.
        classes: The names of all class folders, sorted.
    """

    paths: tuple[Path, ...]
    folders: tuple[str, ...]
    classes: tuple[str, ...]

    def class_ids(self, answered: Mapping[int, str]) -> Ids:
        """Return the class of each image, INT64 [N].

        Args:
            answered: Class ids with their labels, as far as the cascade has answered with them. Folders named like the
                labels, but for case, are matched by name; where none is, sorted by name, they take the order of the
                class ids.

        Raises:
            BenchError: some folders are named like labels and others are not.
        """
        order = dict(enumerate(self.classes))
        answered = {class_id: self._spelt(label) for class_id, label in answered.items()}
        by_name = set(answered.values()) & set(self.classes)
        if by_name and any(order.get(class_id) != label for class_id, label in answered.items()):
            order = self._order_by_name(answered)
        ids = {name: class_id for class_id, name in order.items()}
        return np.array([ids[folder] for folder in self.folders], dtype=np.int64)

    def _spelt(self, label: str) -> str:
        """Return a label as the one class folder that differs in case at most is spelt."""
        alike = [name for name in self.classes if name.casefold() == label.casefold()]
        return alike[0] if len(alike) == 1 else label

    def _order_by_name(self, answered: Mapping[int, str]) -> dict[int, str]:
        left_ids = [class_id for class_id in range(len(self.classes)) if class_id not in answered]
        left_names = sorted(set(self.classes) - set(answered.values()))
        if len(left_ids) != len(left_names) or len(left_names) > 1:
            raise BenchError(
                f"cannot tell which class the folders {', '.join(left_names[:5])} are: the cascade answers with "
                f"{', '.join(sorted(set(answered.values()))[:5])}; name the folders like its labels, or give more "
                "images"
            )
        return {**answered, **dict(zip(left_ids, left_names, strict=True))}


def open_labelled(root: Path, classes: int, most: int) -> Labelled:
    """List at most `most` images of a folder that holds one folder of images a class, spread over the classes.

    Raises:
        BenchError: no such folder, another number of class folders than classes, or no image in one.
    """
    if not root.is_dir():
        raise BenchError(f"{root} is no folder; give one that holds one folder of images a class")
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir())
    if len(folders) != classes:
        raise BenchError(f"{root} holds {len(folders)} class folders but the cascade has {classes} classes")
    found = [(path, folder.name) for folder in folders for path in _images(folder)]
    rows = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int))
    paths, names = zip(*(found[row] for row in rows), strict=True)
    return Labelled(paths, names, tuple(folder.name for folder in folders))


def rows_at_mix(exit_stages: Ids, mix: Sequence[float] | None, count: int) -> Ids:
    """Choose images whose exits have a known mix, in random order.

    Args:
        exit_stages: INT64 [N], where each image leaves; 1 is the first stage.
        mix: Share of each stage, in any unit; as the images come if None.
        count: How many to choose; images are repeated where too few leave at a stage.

    Returns:
        INT64 [count], rows of the images.

    Raises:
        BenchError: no image leaves at a stage that has a share.
    """
    generator = np.random.default_rng(SEED)
    if mix is None:
        return generator.permutation(len(exit_stages))[:count]
    ends = (np.cumsum(mix) / sum(mix) * count).round().astype(int)
    chosen = []
    for stage, wanted in enumerate(np.diff(ends, prepend=0), start=1):
        rows = generator.permutation(np.flatnonzero(exit_stages == stage))
        if wanted and not len(rows):
            raise BenchError(f"no image leaves at stage {stage}, so its share of the mix cannot be met; give others")
        chosen.append(np.resize(rows, wanted))
    return generator.permutation(np.concatenate(chosen))


def exit_mix(exit_stages: Ids, stages: int) -> list[float]:
    """Return the share of the images that leave at each stage."""
    return [float(np.mean(exit_stages == stage)) for stage in range(1, stages + 1)]


def _images(folder: Path) -> list[Path]:
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)
    if not images:
        raise BenchError(f"class folder {folder} has no image ({', '.join(sorted(EXTENSIONS))}); fill or remove it")
    return images
