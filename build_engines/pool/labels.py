"""The labels of a pool: listed, in a file of one name a line, or those of a known label set."""

from __future__ import annotations

from pathlib import Path

from build_engines.errors import PoolError
from build_engines.support.atomic_files import read_text

IMAGENET_1K = "imagenet-1k"


def resolve_labels(given: object, file: Path) -> object:
    """Return the labels that a pool file gives or names.

    Args:
        given: A list (numbers become text), the name of a file in the pool file's folder, or `imagenet-1k`.
        file: The pool file.

    Raises:
        PoolError: the file cannot be read, or YAML reads a label as a boolean.
    """
    if given == IMAGENET_1K:
        return imagenet_1k()
    if isinstance(given, str):
        return read_text(file.parent / given).splitlines()
    if isinstance(given, list):
        return [_text_of(label, file) for label in given]
    return given


def _text_of(label: object, file: Path) -> object:
    if isinstance(label, bool):
        raise PoolError(
            f"{file}: a label is {label}, which is how YAML reads yes, no, on, off, true and false; put it in quotes"
        )
    return str(label) if isinstance(label, int) else label


def imagenet_1k() -> list[str]:
    """Return ImageNet-1k's 1000 labels in the order of the classes, as timm describes them.

    They are kept in a file because NVIDIA's container has no timm. Two of them are called "crane" there: a label that
    occurs twice is followed by its WordNet synset.
    """
    return read_text(Path(__file__).with_name(f"{IMAGENET_1K}.txt")).splitlines()
