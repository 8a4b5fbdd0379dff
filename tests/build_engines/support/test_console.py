"""What the commands share: only one that goes on where it stopped says so after Ctrl-C, and each knows its version."""

from __future__ import annotations

import io
from importlib.metadata import PackageNotFoundError, version

import pytest
from rich.console import Console
from typer.testing import CliRunner

from build_cascade import cli as choosing
from build_engines import cli as building
from build_engines.support.console import ProgressBars, progress_bar
from tests.support.helpers import LABELS, backbone_entry, write_pool

GOES_ON, STARTS_ANEW = "interrupted; finished work is kept: rerun to continue", "interrupted; rerun from the start"


@pytest.mark.parametrize(
    ("app", "command", "interrupted", "says"),
    [
        (building.app, "export POOL", "build_engines.pool.artifacts.BackboneBuild.manifest", GOES_ON),
        (building.app, "check POOL", "build_engines.cli.audit_pools", GOES_ON),
        (building.app, "plan POOL", "build_engines.cli.PlanBuilder.find", GOES_ON),
        (building.app, "profile POOL --batch 1", "build_engines.cli.measure_costs", STARTS_ANEW),
        (choosing.app, "predict POOL --calibration IMAGES --test IMAGES", "build_cascade.cli.served_configs", GOES_ON),
        (choosing.app, "measure POOL --cascade POOL --test IMAGES", "build_cascade.cli.measure_served", STARTS_ANEW),
        (choosing.app, "report POOL --cascade POOL", "build_cascade.cli.read_cascade", STARTS_ANEW),
    ],
)
def test_what_is_said_after_ctrl_c_is_true(tmp_path, monkeypatch, app, command, interrupted, says):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(interrupted, interrupt)
    pool = str(write_pool(tmp_path, backbone_entry("a")))
    for label in LABELS:
        (tmp_path / "images" / label).mkdir(parents=True)
        (tmp_path / "images" / label / "0.png").touch()
    command = command.replace("POOL", pool).replace("IMAGES", str(tmp_path / "images"))
    done = CliRunner().invoke(app, [*command.split(), "--build", str(tmp_path / "build")])
    assert done.exit_code == 130
    assert done.output.strip().splitlines()[-1] == says


@pytest.mark.parametrize("app", [building.app, choosing.app])
def test_the_version_is_that_of_the_distribution_or_there_is_none(monkeypatch, app):
    assert CliRunner().invoke(app, ["--version"]).output == f"triton-cascades {version('triton-cascades')}\n"

    def not_found(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("build_engines.support.console.version", not_found)
    assert CliRunner().invoke(app, ["--version"]).output == "triton-cascades (not installed)\n"


def test_progress_is_printed_in_lines_where_there_is_no_terminal():
    for terminal, lines in ((False, ["predicting test: 1 of 3", "predicting test: 2 of 3"]), (True, [])):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
        with progress_bar(console) as progress:
            for done in (1, 2, 3):
                ProgressBars(progress, seconds_a_line=0).report("predicting test", done, 3)
        written = console.file.getvalue()
        assert [line for line in written.splitlines() if " of " in line] == lines
