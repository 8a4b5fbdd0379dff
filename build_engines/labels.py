"""The labels of a pool: listed, in a file of one name a line, or those of a known label set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from build_engines.files import read_text

IMAGENET_1K = "imagenet-1k"


def resolve_labels(given: object, folder: Path) -> object:
    """Return the labels that a pool file gives or names.

    Args:
        given: A list (numbers become text), the name of a file in `folder`, or `imagenet-1k`.
        folder: That of the pool file.

    Raises:
        PoolError: the file cannot be read.
    """
    if given == IMAGENET_1K:
        return imagenet_1k()
    if isinstance(given, str):
        return read_text(folder / given).splitlines()
    if isinstance(given, list):
        return [str(label) if isinstance(label, int) else label for label in given]
    return given


def imagenet_1k() -> list[str]:
    """Return ImageNet-1k's 1000 labels in the order of the classes, as timm describes them.

    Two of them are called "crane": a label that comes twice is followed by its WordNet synset.
    """
    from timm.data import ImageNetInfo  # noqa: PLC0415 (torch takes seconds)

    info = ImageNetInfo(IMAGENET_1K)
    labels = info.label_descriptions()
    count = Counter(labels)
    return [
        f"{label} ({synset})" if count[label] > 1 else label
        for label, synset in zip(labels, info.label_names(), strict=True)
    ]
