"""A whole repository, or nothing."""

from __future__ import annotations

from typer.testing import CliRunner

from build_engines.cli import app
from build_engines.pool.schema import load_pool
from build_engines.repository.writer import write_repository
from tests.support.helpers import (
    backbone_entry,
    write_pool,
)
from tests.support.onnx_files import classifier, exported, onnx_entry


def test_a_runtime_that_cannot_serve_it_is_refused_before_anything_is_written(tmp_path):
    path = write_pool(tmp_path, backbone_entry("ours"), onnx_entry("theirs"), onnx_entry("too", onnx="theirs.onnx"))
    places = ["--build", str(tmp_path / "build"), "--output", str(tmp_path / "repository")]
    done = CliRunner(env={"COLUMNS": "500"}).invoke(app, ["repository", str(path), "--runtime", "torch", *places])
    assert done.exit_code == 1
    assert done.output.strip() == (
        "error: the runtime 'torch' cannot serve theirs, too, which the pool file gives as ONNX files; use "
        "--runtime embedded or onnxruntime or tensorrt"
    )
    assert not (tmp_path / "repository").exists()


def test_nothing_is_written_unless_every_backbone_can_be(tmp_path):
    classifier(tmp_path / "theirs.onnx")
    exported(load_pool(write_pool(tmp_path, onnx_entry("theirs"))), tmp_path)
    path = write_pool(tmp_path, onnx_entry("theirs"), onnx_entry("later", onnx="theirs.onnx"))
    places = ["--build", str(tmp_path / "build"), "--output", str(tmp_path / "repository")]
    done = CliRunner().invoke(app, ["repository", str(path), *places])
    assert (done.exit_code, "later" in done.output) == (1, True)
    assert not (tmp_path / "repository").exists()


def test_cascades_of_one_stage_are_there_as_long_as_they_are_asked_for(tiny_build, tmp_path):
    names = {f"{built.name}_alone" for built in tiny_build}
    for alone in (True, False):
        written = {entry.folder.name for entry in write_repository(tiny_build, tmp_path, alone=alone)}
        assert {path.parent.name for path in tmp_path.glob("*_alone/config.pbtxt")} == (names if alone else set())
        assert (names <= written) is alone
