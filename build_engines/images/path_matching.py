"""Paths as a file writes them, matched with the paths of images that lie elsewhere: by the longest common ending."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from build_engines.images.image_files import EXTENSIONS


@dataclass(frozen=True, order=True)
class Fit:
    """How well a row fits an image.

    Attributes:
        common: Number of folders and names that both paths end with.
        same_suffix: Whether the file names agree in their suffixes too.
    """

    common: int
    same_suffix: bool


def name_of(path: PurePosixPath) -> str:
    """Return a file's name without an image's suffix."""
    return path.stem if path.suffix.lower() in EXTENSIONS else path.name


def match_paths(images: Sequence[PurePosixPath], rows: Sequence[PurePosixPath]) -> list[list[int]]:
    """Return the rows that fit each image best; several if they fit equally, none if no file name agrees.

    A row that fits another image better is left to it.
    """
    ending: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(rows):
        for parts in _endings(row):
            ending.setdefault(parts, []).append(place)
    found = [_best(image, rows, ending) for image in images]
    best: dict[int, Fit] = {}
    for fit, places in found:
        best |= {place: max(fit, best.get(place, fit)) for place in places}
    return [[place for place in places if best[place] == fit] for fit, places in found]


def _best(
    image: PurePosixPath, rows: Sequence[PurePosixPath], ending: dict[tuple[str, ...], list[int]]
) -> tuple[Fit, list[int]]:
    parts = next((parts for parts in _endings(image) if parts in ending), ())
    places = ending.get(parts, [])
    same = [place for place in places if rows[place].name == image.name]
    return Fit(len(parts), bool(same)), same or places


def _endings(path: PurePosixPath) -> Iterator[tuple[str, ...]]:
    """Return the ends of a path, the longest first, each in reverse."""
    parts = (name_of(path), *reversed(path.parts[:-1]))
    return (parts[:count] for count in range(len(parts), 0, -1))
