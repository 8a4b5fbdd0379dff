"""`build-engines profile` without a server."""

from __future__ import annotations

from typer.testing import CliRunner

from build_engines.cli import app
from tests.support.helpers import backbone_entry, write_pool


def test_profile_needs_no_weights(tmp_path):
    path = write_pool(tmp_path, backbone_entry("a"))
    done = CliRunner(env={"COLUMNS": "120"}).invoke(app, ["profile", str(path)])
    assert done.exit_code == 0
    assert "a.safetensors" in done.output
