"""Written labels: all names or all numbers."""

from __future__ import annotations

import re

import pytest

from build_engines.errors import ImageSourceError
from build_engines.images.named_classes import class_ids_of
from build_engines.images.source import UNLABELLED


@pytest.mark.parametrize(
    ("labels", "written", "expected", "note"),
    [
        (
            "12345",
            "12345",
            [0, 1, 2, 3, 4],
            "'1' could be a name or a number; all labels are taken for the labels' names",
        ),
        ("12345", "01234", [0, 1, 2, 3, 4], "'1' could be a name or a number; all .* for the numbers of the classes"),
        ("12345", "333", [2, 2, 2], "for the labels' names"),
        ("01234", "20", [2, 0], ""),
        ("abcde", "40", [4, 0], ""),
        ("12345", "50", None, "'5' are labels of the pool, but '0' only numbers of classes; write all as the pool has"),
    ],
)
def test_labels_that_are_numbers_are_all_names_or_all_numbers(labels, written, expected, note):
    if expected is None:
        with pytest.raises(ImageSourceError, match=note):
            class_ids_of(list(written), list(labels), "list.csv")
    else:
        class_ids, said = class_ids_of([*written, ""], list(labels), "list.csv")
        assert class_ids.tolist() == [*expected, UNLABELLED]
        assert re.search(note, said)
        assert ("could be" in said) == bool(note)
