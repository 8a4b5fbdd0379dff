"""Labelled images for a benchmark: one folder per class, and loads with a given mix of exit stages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cascade_client.canvas import Canvas, UnusableImage, to_canvas
from cascade_client.class_names import match_classes
from cascade_client.errors import BenchError
from cascade_client.image_files import EXTENSIONS, coverage_note, find_files, left_out, match_in_order, subfolders

SEED = 0

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Labelled:
    """Image files and their classes.

    Attributes:
        paths: N image files, spread evenly over the classes that have any.
        class_ids: INT64 [N], the class of each.
        notes: What the user should know about how they were found.
    """

    paths: tuple[Path, ...]
    class_ids: Ids
    notes: tuple[str, ...] = ()


def open_labelled(root: Path, labels: Sequence[str], most: int) -> Labelled:
    """List at most `most` images of a folder with one subfolder per class, spread evenly over the classes.

    Subfolders are matched with labels by name, ignoring case, or by WordNet id; classes may have no images. If none
    matches and there is one for every label, they are taken for the labels in sorted order.

    Raises:
        BenchError: the folder does not exist or has no images, or a subfolder has the name of no label.
    """
    if not root.is_dir():
        raise BenchError(f"{root} is not a folder; expected one with a subfolder of images per class")
    images, others = find_files(root)
    folders: dict[str, list[Path]] = defaultdict(list)
    for path in images:
        folders[path.relative_to(root).parts[0]].append(path)
    classes, in_order = _classes([name for name in subfolders(root) if name in folders], labels, root)
    found = sorted((class_id, path) for name, class_id in classes.items() for path in folders[name])
    if not found:
        raise BenchError(f"the subfolders of {root} have no images ({', '.join(sorted(EXTENSIONS))})")
    rows = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int))
    class_ids, paths = zip(*(found[row] for row in rows), strict=True)
    present = {class_id for class_id, _ in found}
    covered = coverage_note(str(root), labels, present, len(images) - len(found), len(images))
    notes = (left_out(root, others), in_order, covered)
    return Labelled(paths, np.array(class_ids, dtype=np.int64), tuple(filter(None, notes)))


def _classes(filled: Sequence[str], labels: Sequence[str], root: Path) -> tuple[dict[str, int], str]:
    """Return the class of each subfolder with images, and a note where it is by order."""
    classes, note = match_classes(filled, labels), ""
    if not classes:
        classes, note = match_in_order(root, labels)
    if odd := [name for name in filled if name not in classes]:
        raise BenchError(
            f"{root}: {len(odd)} of {len(filled)} class folders have the name of none of the cascade's {len(labels)} "
            f"labels: {', '.join(odd[:5])}; name them like its labels, such as {', '.join(labels[:5])}"
        )
    return classes, note


def read_canvases(
    labelled: Labelled, size: int, on_progress: Callable[[str, int, int], None]
) -> tuple[Labelled, Canvas]:
    """Return the images that can be read, with a note that names the others, and their canvases UINT8 [n, S, S, 3].

    Raises:
        BenchError: none of them can be read.
    """
    canvases, rows, reasons = [], [], []
    for row, path in enumerate(labelled.paths):
        try:
            canvases.append(to_canvas(path, size))
            rows.append(row)
        except UnusableImage as error:
            reasons.append(str(error))
        on_progress("reading images", row + 1, len(labelled.paths))
    if not canvases:
        raise BenchError(f"none of the {len(reasons)} images can be read: {reasons[0]}")
    unread = f"left out {len(reasons)} of {len(labelled.paths)} images: {'; '.join(reasons)}" if reasons else ""
    read = Labelled(
        tuple(labelled.paths[row] for row in rows),
        labelled.class_ids[rows],
        tuple(filter(None, (*labelled.notes, unread))),
    )
    return read, np.stack(canvases)


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
