"""Labels as lists and data sets write them, turned into class ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from build_engines.errors import UnknownLabelError
from build_engines.images.image_files import coverage_note, shortened
from build_engines.images.source import UNLABELLED, ClassIds
from build_engines.pool.class_names import match_classes


def class_ids_of(written: Sequence[str | None], labels: Sequence[str] | None, origin: str) -> tuple[ClassIds, str]:
    """Return the class of each written label, INT64 [N], and a note on images and classes that lack the other.

    Args:
        written: Names of labels or WordNet ids, or else numbers from 0; empty or None where there is none. What could
            be either is taken for names.
        labels: Names of the classes; None leaves every image unlabelled.
        origin: Where they are from, for messages.

    Raises:
        UnknownLabelError: one stands for no label, or some are names and others numbers.
    """
    if labels is None:
        return np.full(len(written), UNLABELLED, np.int64), ""
    given = list(dict.fromkeys(name for name in written if name))
    names = match_classes(given, labels)
    every_number = {str(class_id): class_id for class_id in range(len(labels))}
    numbers = {name: every_number[name] for name in given if name in every_number}
    if odd := [name for name in given if name not in names and name not in numbers]:
        raise UnknownLabelError(
            f"{origin}: {len(odd)} labels are not in the label set, the first of image {written.index(odd[0]) + 1}: "
            f"{shortened(odd)}",
            f"write labels as the pool has them ({shortened(labels, 2)}), WordNet ids, or numbers from 0 to "
            f"{len(labels) - 1}",
        )
    read = _names_or_numbers(names, numbers, given, labels, origin)
    class_ids = np.array([read[name] if name else UNLABELLED for name in written], np.int64)
    notes = (_reading(names, numbers, read, origin), coverage(class_ids, labels, origin))
    return class_ids, "; ".join(filter(None, notes))


def _names_or_numbers(
    names: dict[str, int], numbers: dict[str, int], given: Sequence[str], labels: Sequence[str], origin: str
) -> dict[str, int]:
    """Return the class of each written label, all of which are names, or else all of which are numbers."""
    for reading in (names, numbers):
        if len(reading) == len(given):
            return reading
    raise UnknownLabelError(
        f"{origin}: some labels are names and others numbers: {shortened([name for name in given if name in names])} "
        f"are labels of the pool, but {shortened([name for name in given if name not in names])} only numbers of "
        "classes",
        f"write all as the pool has them ({shortened(labels, 2)}), or all as numbers from 0 to {len(labels) - 1}",
    )


def _reading(names: dict[str, int], numbers: dict[str, int], read: dict[str, int], origin: str) -> str:
    """Return a note where a label is the name of one class and the number of another; empty where none is."""
    first = next((name for name in read if names.get(name, read[name]) != numbers.get(name, read[name])), None)
    if first is None:
        return ""
    kind = "the labels' names" if read is names else "the numbers of the classes, from 0,"
    return f"{origin}: {first!r} could be a name or a number; all labels are taken for {kind}"


def coverage(class_ids: ClassIds, labels: Sequence[str], origin: str) -> str:
    """Return a note on images without a class and classes without an image; empty if there are none."""
    unlabelled = int((class_ids == UNLABELLED).sum())
    if unlabelled == len(class_ids):
        return f"{origin}: none of its {unlabelled} images has a label"
    return coverage_note(origin, labels, set(class_ids.tolist()), unlabelled, len(class_ids))
