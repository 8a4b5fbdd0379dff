"""What is not of the pool is named, and kept."""

from __future__ import annotations

import shutil
from io import BytesIO

import pytest
from PIL import Image
from typer.testing import CliRunner

from build_engines.cli import app
from build_engines.export.backbone import export_backbone
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import load_pool
from cascade_client import CascadeClient
from cascade_core.spec import Cascade, Stage
from embedded_server import EmbeddedServer
from tests.support.helpers import backbone_entry, random_canvases, save_random_weights, write_pool

TINY, OTHER = ("small", "medium"), ("small", "digit")


def write(pool, build, output, *options):
    """Run the command; return what it says beside what it wrote."""
    places = ["--build", str(build.folder.parent), "--output", str(output)]
    done = CliRunner(env={"COLUMNS": "500"}).invoke(
        app, ["repository", str(pool.folder / "pool.yaml"), *places, *options]
    )
    assert done.exit_code == 0, done.output
    return [line for line in done.output.splitlines() if not line.endswith((": written", ": reused"))]


def put_cascade_of(repository, pool, names):
    stages = (*(Stage(name, threshold=0.5) for name in names[:-1]), Stage(names[-1]))
    cascade = Cascade("digits", pool.canvas, pool.labels, stages)
    (repository / "cascade/cascade.json").write_text(cascade.to_json())


@pytest.mark.parametrize("options", [(), ("--no-encoded",)])
def test_what_another_pool_left_is_named_and_kept(tiny_pool, tiny_build, tmp_path, options):
    assert write(tiny_pool, tiny_build, tmp_path, *options) == []
    for name in ("digit", "letter", ".digit.99.partial"):
        shutil.copytree(tmp_path / "small", tmp_path / name)
    put_cascade_of(tmp_path, tiny_pool, OTHER)
    before = (tmp_path / "cascade/cascade.json").read_text()
    entries, cascade = write(tiny_pool, tiny_build, tmp_path, *options)
    assert entries == (
        f"{tmp_path} also contains digit, letter, not of this pool: Triton loads every entry; if they are not wanted, "
        "remove them or use another --output"
    )
    assert cascade == (
        f"{tmp_path / 'cascade/cascade.json'} is kept: it is of digits, whose stages small, digit are not all of "
        "this pool; rerun build-cascade search"
    )
    assert (tmp_path / "digit/1/model.onnx").is_file()
    assert (tmp_path / "cascade/cascade.json").read_text() == before


def test_nothing_is_said_of_what_is_of_the_pool(tiny_pool, tiny_build, tmp_path):
    write(tiny_pool, tiny_build, tmp_path)
    put_cascade_of(tmp_path, tiny_pool, TINY)
    assert write(tiny_pool, tiny_build, tmp_path) == []
    (tmp_path / "cascade/cascade.json").write_text("{")
    assert write(tiny_pool, tiny_build, tmp_path) == []


def test_a_kept_cascade_of_another_canvas_goes_on_being_served_encoded(repository_copy, tmp_path):
    pool = load_pool(write_pool(tmp_path, backbone_entry("other"), name="other", canvas=48))
    save_random_weights(pool)
    build = PoolBuild.of(pool, tmp_path / "build")
    export_backbone(build["other"], random_canvases(16, size=48))
    entries, cascade = write(pool, build, repository_copy)
    assert "also contains" in entries
    assert cascade == (
        f"{repository_copy / 'cascade/cascade.json'} is kept: it is of tiny, a cascade of another pool, with a canvas "
        "of 32 rather than 48; encoded images are still resized to 32. To serve this pool, run build-cascade search or "
        "remove that file, then rerun build-engines repository"
    )
    Image.new("RGB", (9, 9)).save(image := BytesIO(), "PNG")
    with EmbeddedServer(repository_copy) as server, CascadeClient(server.addresses.grpc) as client:
        assert client.classify([image.getvalue()], encoded=True)
    (repository_copy / "cascade/cascade.json").unlink()
    assert len(write(pool, build, repository_copy)) == 1
    assert "dims: 48" in (repository_copy / "decode/config.pbtxt").read_text()
