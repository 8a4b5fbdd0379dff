"""Exporting a whole pool: one backbone that is refused does not stop the others."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from build_engines.cli import app
from build_engines.errors import CheckError, WeightsError
from build_engines.export.export import check_exported, export_pool
from build_engines.pool.artifacts import PoolBuild
from tests.support.helpers import random_canvases, write_pool
from tests.support.onnx_files import classifier, onnx_entry

NAMES = ("damaged", "whole", "unfit")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pool of three ONNX files, of which one can be exported."""
    folder = tmp_path_factory.mktemp("pool")
    for name, changes in zip(NAMES, ({"scale": np.nan}, {}, {"classes": 7}), strict=True):
        classifier(folder / f"{name}.onnx", **changes)
    write_pool(folder, *map(onnx_entry, NAMES))
    return folder


@pytest.fixture(scope="module")
def command(folder):
    """The command's result."""
    arguments = ["export", str(folder / "pool.yaml"), "--build", str(folder / "build")]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def test_the_command_shows_all_refusals_and_fails(command):
    assert command.exit_code == 1
    rows = [line for line in command.stdout.splitlines() if line.startswith("│")]
    assert [row.count("refused") for row in rows] == [1, 0, 1]
    assert "1 exported, 0 reused" in command.stdout
    assert "2 refused" in command.stdout
    assert all(f"'{name}'" in command.stderr for name in ("damaged", "unfit"))


@pytest.mark.usefixtures("command")
def test_the_others_are_kept_and_reused(folder):
    results = export_pool(PoolBuild.open(folder / "pool.yaml", folder / "build"), random_canvases(4))
    assert [(result.manifest is not None, result.is_new) for result in results] == [
        (False, False),
        (True, False),
        (False, False),
    ]
    assert isinstance(results[0].error, WeightsError)
    with pytest.raises(CheckError, match=r"'damaged': (.|\n)*'unfit': .*set `classes`"):
        check_exported(results)
    check_exported(results[1:2])
