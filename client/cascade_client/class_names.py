"""Names of classes, as folders and label files have them, matched with the labels of a cascade.

This file is part of the client, which must stand alone. `build_engines.pool.class_names` is a symbolic link to it, so
that images have the same classes when a cascade is chosen and when it is measured. The standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")


@cache
def imagenet_1k_wnids() -> tuple[str, ...]:
    """Return the WordNet ids of ImageNet-1k's 1000 classes in their order, which is sorted."""
    return tuple(Path(__file__).with_name("imagenet-1k-wnids.txt").read_text(encoding="ascii").split())


def match_classes(names: Iterable[str], labels: Sequence[str]) -> dict[str, int]:
    """Return the index of the label that each name stands for; names that stand for none are left out.

    A name stands for the label that equals it, else for the only one that differs from it in case alone. WordNet ids
    stand for the labels of ImageNet-1k, in its order, where there are 1000 labels.
    """
    names = set(names)
    return _by_wnid(names, labels) | _by_name(names, labels)


def _by_name(names: set[str], labels: Sequence[str]) -> dict[str, int]:
    found = {label: index for index, label in enumerate(labels) if label in names}
    left = _by_folded((name, name) for name in names if name not in found)
    wanted = _by_folded((label, index) for index, label in enumerate(labels) if label not in found)
    unique = [key for key in left if len(left[key]) == len(wanted.get(key, ())) == 1]
    return found | {left[key][0]: wanted[key][0] for key in unique}


def _by_folded(pairs: Iterable[tuple[str, Value]]) -> dict[str, list[Value]]:
    grouped: dict[str, list[Value]] = {}
    for name, value in pairs:
        grouped.setdefault(name.casefold(), []).append(value)
    return grouped


def _by_wnid(names: set[str], labels: Sequence[str]) -> dict[str, int]:
    order = imagenet_1k_wnids()
    if len(labels) != len(order):
        return {}
    places = {wnid: index for index, wnid in enumerate(order)}
    return {name: places[name] for name in names if name in places}
