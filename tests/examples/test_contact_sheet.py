"""examples/imagenet/contact_sheet.py: photographs with their answers, as a PNG."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cascade_client import Classification
from cascade_core.spec import Cascade, Stage
from examples.imagenet.contact_sheet import COLUMNS, write_contact_sheet

CASCADE_OF_TWO = Cascade("two", 32, ("a",), (Stage("small", threshold=0.5), Stage("large")))


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (COLUMNS, 1), (COLUMNS + 1, 2)])
def test_the_sheet_has_a_tile_for_each_photograph(tmp_path, count, rows):
    files = [tmp_path / f"{index}.png" for index in range(count)]
    for file in files:
        Image.new("RGB", (60, 40), "red").save(file)
    answers = [Classification(0, "a label that is longer than its tile", 0.5, 1 + i % 2, False) for i in range(count)]
    write_contact_sheet(files, answers, CASCADE_OF_TWO, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    red = (pixels == (255, 0, 0)).all(axis=2)
    assert _runs(red.any(axis=0)) == min(count, COLUMNS)
    assert _runs(red.any(axis=1)) == rows


def _runs(flags: np.ndarray) -> int:
    return int(np.count_nonzero(np.diff(flags.astype(int), prepend=0) == 1))
