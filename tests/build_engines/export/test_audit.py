"""`build-engines check` and `profile`: what they find, and what they print."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from build_engines.cli import app
from build_engines.export.audit import audit_backbone
from build_engines.export.onnx_lint import load_graph
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import load_pool
from tests.support.helpers import backbone_entry, save_random_weights, write_pool

pytestmark = pytest.mark.usefixtures("graphs_made_once")


def make_folder(path):
    path.mkdir()
    return path


@pytest.mark.usefixtures("audited_in_process")
@pytest.mark.parametrize(
    ("changes", "precision"),
    [
        ({}, "fp32"),
        ({}, "fp16"),
        ({"architecture": "resnet10t", "arguments": {}, "input_size": 32}, "fp32"),
        ({"architecture": "mobilenetv2_035", "arguments": {}, "input_size": 32}, "fp32"),
        ({"architecture": "tf_efficientnet_lite0", "arguments": {}, "input_size": 32}, "fp32"),
    ],
)
def test_each_family_exports_clean(tmp_path, changes, precision):
    pool = load_pool(write_pool(tmp_path, backbone_entry("a", **changes)))
    pool = pool.variant(random_weights=True, precision=precision)
    build = PoolBuild.of(pool, tmp_path)
    seen = audit_backbone(build["a"])
    assert (seen.problem, seen.unlisted, seen.leftovers) == (None, (), ())
    assert 0 < seen.difference < (1e-4 if precision == "fp32" else 1e-2)
    assert seen.peak_bytes > 10**8
    assert seen.size_bytes == build["a"].onnx.stat().st_size
    operators = {node.op_type for node in load_graph(build["a"].onnx).graph.node}
    assert not operators & {"Range", "BatchNormalization"}
    if changes:  # a ViT picks its class token by a Gather, of the tokens
        assert "Gather" not in operators


def test_the_command_checks_pools_and_fails_where_one_backbone_does(tmp_path):
    path = write_pool(tmp_path, backbone_entry("good"), backbone_entry("missing"))
    pool = load_pool(write_pool(tmp_path, backbone_entry("good")))
    save_random_weights(pool)
    write_pool(tmp_path, backbone_entry("good"), backbone_entry("missing"))
    done = CliRunner().invoke(app, ["check", str(path), "--build", str(tmp_path / "build")])
    assert done.exit_code == 1
    rows = {row.split("│")[1].strip(): row for row in done.output.splitlines() if row.startswith("│")}
    assert "yes" in rows["good"]
    assert "no" in rows["missing"].split("│")[2]
    assert (
        f"backbone 'missing': no weights at {tmp_path / 'missing.safetensors'}; train it or put the file there"
        in done.output
    )


@pytest.mark.usefixtures("audited_in_process")
def test_an_error_of_any_kind_is_that_backbones_problem(tmp_path):
    entries = (backbone_entry("small", arguments={}, input_size=8), backbone_entry("good"))
    pools = [write_pool(make_folder(tmp_path / name), *entries, name=name) for name in ("spoilt", "whole")]
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "spoilt-random").touch()
    options = ["--random-weights", "--build", str(tmp_path / "build")]
    done = CliRunner().invoke(app, ["check", *map(str, pools), *options])
    assert done.exit_code == 1
    assert done.output.count("backbone 'small': vit_tiny_patch16_224 takes no images of input_size 8") == 2
    assert re.search(r"backbone 'good': \w+Error", done.output)
    assert (tmp_path / "build" / "whole-random" / "onnx" / "good.onnx").is_file()


@pytest.mark.usefixtures("audited_in_process")
def test_random_weights_are_kept_apart(tmp_path):
    path = write_pool(tmp_path, backbone_entry("a"))
    build = tmp_path / "build"
    for expected in ("yes", "reused"):
        done = CliRunner().invoke(app, ["check", str(path), "--random-weights", "--build", str(build)])
        assert done.exit_code == 0
        assert expected in done.output
    assert [entry.name for entry in build.iterdir()] == ["tiny-random"]


@pytest.mark.usefixtures("audited_in_process")
@pytest.mark.parametrize("command", ["export", "check"])
def test_a_folder_of_images_is_looked_at_even_where_everything_is_reused(tmp_path, command):
    pool = load_pool(write_pool(tmp_path, backbone_entry("a")))
    save_random_weights(pool)
    arguments = [command, str(tmp_path / "pool.yaml"), "--build", str(tmp_path / "build")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    done = CliRunner().invoke(app, [*arguments, "--images", "nosuch"])
    assert done.exit_code == 1
    assert "error: nosuch is not a folder" in done.output
