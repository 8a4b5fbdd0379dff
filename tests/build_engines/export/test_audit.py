"""`build-engines check` and `profile`: what they find, and what they print."""

from __future__ import annotations

import re

import onnx
import pytest
from onnx import TensorProto, helper
from rich.console import Console
from typer.testing import CliRunner

from build_engines.cli import app
from build_engines.costs.costs import Costs
from build_engines.costs.macs_profile import Profile
from build_engines.doctor.finding import Finding
from build_engines.export.audit import Audit, audit_backbone
from build_engines.export.onnx_lint import leftovers, load_graph, unlisted_operators
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import load_pool
from build_engines.tables import audit_table, findings_table, profile_table
from tests.support.helpers import CANVAS, backbone_entry, save_random_weights, write_pool


def make_folder(path):
    path.mkdir()
    return path


def graph_of(*nodes, initializers=()):
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", CANVAS, CANVAS, 3])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    body = (helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT), *nodes)
    graph = helper.make_graph(body, "g", [image], [output], initializers)
    opsets = [helper.make_opsetid(domain, version) for domain, version in (("", 20), ("pkg", 1))]
    return onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=opsets))


INDEX = helper.make_tensor("index", TensorProto.INT64, [1], [0])
TABLE = helper.make_tensor("table", TensorProto.FLOAT, [2], [0, 1])


@pytest.mark.parametrize(
    ("nodes", "found"),
    [
        ([helper.make_node("Relu", ["x"], ["y"])], []),
        ([helper.make_node("Gather", ["x", "index"], ["y"])], ["Gather on the batch"]),
        ([helper.make_node("Gather", ["x", "index"], ["y"], axis=1)], []),
        ([helper.make_node("Gather", ["table", "index"], ["y"])], []),
        ([helper.make_node("Range", ["index", "index", "index"], ["r"])], ["Range"]),
        ([helper.make_node("aten_as_strided", ["x"], ["y"], domain="pkg")], ["as_strided"]),
        ([helper.make_node("Transpose", ["image"], ["t"])], ["Transpose of UINT8"]),
        ([helper.make_node("Relu", ["x"], ["y"], doc_string="/home/me/venv/torch/nn.py")], ["a local path"]),
    ],
)
def test_traces_of_the_export_are_found(nodes, found):
    assert leftovers(graph_of(*nodes, initializers=[INDEX, TABLE])) == found


def test_operators_outside_the_list_are_found():
    model = graph_of(helper.make_node("Hardmax", ["x"], ["h"]), helper.make_node("Det", ["h"], ["y"]))
    assert unlisted_operators(model) == ["Det"]
    model.graph.node[-1].domain = "com.microsoft"
    assert unlisted_operators(model) == ["com.microsoft.Det"]


@pytest.mark.parametrize(
    ("changes", "precision"),
    [
        ({}, "fp32"),
        ({}, "fp16"),
        ({"architecture": "resnet10t", "arguments": {}, "input_size": 32}, "fp32"),
        ({"architecture": "mobilenetv2_035", "arguments": {}, "input_size": 32}, "fp32"),
        ({"architecture": "tf_efficientnet_b0", "arguments": {}, "input_size": 32}, "fp32"),
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


def test_random_weights_are_kept_apart(tmp_path):
    path = write_pool(tmp_path, backbone_entry("a"))
    build = tmp_path / "build"
    for expected in ("yes", "reused"):
        done = CliRunner().invoke(app, ["check", str(path), "--random-weights", "--build", str(build)])
        assert done.exit_code == 0
        assert expected in done.output
    assert [entry.name for entry in build.iterdir()] == ["tiny-random"]


@pytest.mark.parametrize("command", ["export", "check"])
def test_a_folder_of_images_is_looked_at_even_where_everything_is_reused(tmp_path, command):
    pool = load_pool(write_pool(tmp_path, backbone_entry("a")))
    save_random_weights(pool)
    arguments = [command, str(tmp_path / "pool.yaml"), "--build", str(tmp_path / "build")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    done = CliRunner().invoke(app, [*arguments, "--images", "nosuch"])
    assert done.exit_code == 1
    assert "error: nosuch is no folder" in done.output


def test_profile_needs_no_weights(tmp_path):
    path = write_pool(tmp_path, backbone_entry("a"))
    done = CliRunner(env={"COLUMNS": "120"}).invoke(app, ["profile", str(path)])
    assert done.exit_code == 0
    assert "a.safetensors" in done.output


def in_80_columns(table):
    console = Console(width=80, record=True)
    console.print(table)
    text = console.export_text()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    return text


def test_names_and_numbers_are_whole_in_80_columns(tmp_path):
    names = ("mobilenetv2_050_at_160", "mobilenetv2_120d_at_224")
    pool = load_pool(write_pool(tmp_path, *(backbone_entry(name, weights=f"{name}.safetensors") for name in names)))
    audits = [Audit(name, None, ("HannWindow",), ("Gather of a shape",), 2e-7, 12, 2**30, 2**23) for name in names]
    measured = {size: Costs(dict.fromkeys(names, 12.345), "ms") for size in (1, 64)}
    profiles = [Profile(backbone, 0.05018, 2_000_000, "w" * 25, "cc-by-nc-4.0") for backbone in pool.backbones]
    for table in (profile_table(pool, profiles), profile_table(pool, profiles, measured)):
        text = in_80_columns(table)
        assert all(word in text for word in (*names, "0.05018"))
    findings = findings_table([Finding(f"entry {name}", "whole " * 20, "nothing " * 20) for name in names])
    for table in (audit_table(audits), findings):
        text = in_80_columns(table)
        assert all(name in text for name in names)
    assert in_80_columns(audit_table([Audit("q" * 90)])).count("q") == 90
