"""The labels of a pool: listed, in a file of one name a line, or those of a known label set."""

from __future__ import annotations

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

    They are kept in a file, for NVIDIA's container has no timm. Two of them are called "crane" there: a label that
    comes twice is followed by its WordNet synset.
    """
    return read_text(Path(__file__).with_name(f"{IMAGENET_1K}.txt")).splitlines()
