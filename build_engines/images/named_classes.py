"""Labels as lists and data sets write them, turned into class ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from build_engines.errors import ImageSourceError
from build_engines.images.source import UNLABELLED, ClassIds, shortened
from build_engines.pool.class_names import match_classes


def class_ids_of(written: Sequence[str | None], labels: Sequence[str] | None, origin: str) -> tuple[ClassIds, str]:
    """Return the class of each written label, INT64 [N], and a note on images and classes that lack the other.

    Args:
        written: A label's name, WordNet id or number from 0; empty or None where there is none.
        labels: Names of the classes; None leaves every image unlabelled.
        origin: Where they are from, for messages.

    Raises:
        ImageSourceError: one stands for no label.
    """
    if labels is None:
        return np.full(len(written), UNLABELLED, np.int64), ""
    classes: dict[str | None, int] = {str(number): number for number in range(len(labels))}
    classes.update(match_classes({name for name in written if name}, labels))
    classes.update({"": UNLABELLED, None: UNLABELLED})
    if odd := list(dict.fromkeys(name for name in written if name not in classes)):
        first = next(place for place, name in enumerate(written, start=1) if name == odd[0])
        shown = shortened([str(name) for name in odd])
        raise ImageSourceError(
            f"{origin}: {len(odd)} labels are not in the label set, the first of image {first}: {shown}; "
            f"write labels as the pool has them ({shortened(labels, 2)}), WordNet ids, or numbers from 0 to "
            f"{len(labels) - 1}"
        )
    class_ids = np.array([classes[name] for name in written], np.int64)
    return class_ids, coverage(class_ids, labels, origin)


def coverage(class_ids: ClassIds, labels: Sequence[str], origin: str) -> str:
    """Return a note on images without a class and classes without an image; empty if there are none."""
    unlabelled = int((class_ids == UNLABELLED).sum())
    if unlabelled == len(class_ids):
        return f"{origin}: none of its {unlabelled} images has a label"
    present = set(class_ids.tolist())
    absent = [label for index, label in enumerate(labels) if index not in present]
    parts = [f"{unlabelled} of {len(class_ids)} images have no label"] if unlabelled else []
    if absent:
        parts.append(f"{len(absent)} of {len(labels)} classes have no image: {shortened(absent)}")
    return f"{origin}: {'; '.join(parts)}" if parts else ""
