"""Shared by all tests: a small pool with random weights, exported once, and the real server on it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import Pool, load_pool
from build_engines.repository.writer import write_repository
from cascade_core.spec import Cascade, OperatingPoint, Serving, Stage
from embedded_server import EmbeddedServer
from tests.support.helpers import (
    CANVAS,
    LABELS,
    backbone_entry,
    onnx_probabilities,
    random_canvases,
    save_random_weights,
    spread_thresholds,
    write_pool,
)
from tests.support.made_once import made_once

pytest_plugins = ["pytester", *(f"tests.plugins.{name}" for name in ("server_tests", "strict_skips", "workers"))]

STAGES = ("small", "medium", "large")
WEIGHTS = (1.0, 1.5, 2.0)

# A deadline is a timed assertion: it fails on a busy machine and says nothing about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def export_tiny_pool(folder: Path) -> None:
    from build_engines.export.export import check_exported, export_pool  # torch takes seconds

    sizes = {"small": 16, "medium": 24, "large": 32}
    pool = load_pool(write_pool(folder, *(backbone_entry(name, input_size=size) for name, size in sizes.items())))
    save_random_weights(pool)
    check_exported(export_pool(PoolBuild.of(pool, folder), random_canvases(16)))


@pytest.fixture(scope="session")
def tiny_build(tmp_path_factory: pytest.TempPathFactory) -> PoolBuild:
    folder = made_once(tmp_path_factory, "pool", export_tiny_pool)
    return PoolBuild.open(folder / "pool.yaml", folder)


@pytest.fixture(scope="session")
def tiny_pool(tiny_build: PoolBuild) -> Pool:
    return tiny_build.pool


@pytest.fixture(scope="session")
def tiny_cascade(tiny_build: PoolBuild) -> Cascade:
    """A cascade of which random images use every stage, at every operating point."""
    images = random_canvases(200, seed=9)
    predictions = [onnx_probabilities(tiny_build[name].onnx, images) for name in STAGES]
    fast, default, accurate = (spread_thresholds(predictions, WEIGHTS, share) for share in (0.8, 0.5, 0.2))
    return Cascade(
        name="tiny",
        canvas=CANVAS,
        labels=LABELS,
        stages=(
            Stage("small", weight=WEIGHTS[0], threshold=default[0], max_batch_size=8),
            Stage("medium", weight=WEIGHTS[1], threshold=default[1], max_batch_size=8),
            Stage("large", weight=WEIGHTS[2], max_batch_size=8),
        ),
        operating_points={"fast": OperatingPoint(fast), "accurate": OperatingPoint(accurate)},
        max_batch_size=16,
        serving=Serving(reach="bls"),
    )


@pytest.fixture(scope="session")
def tiny_repository(tiny_build: PoolBuild, tiny_cascade: Cascade, tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("model_repository")
    write_repository(tiny_build, repository)
    (repository / "cascade" / "cascade.json").write_text(tiny_cascade.to_json())
    return repository


@pytest.fixture(scope="session")
def server(tiny_repository: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tiny_repository) as running:
        yield running


@pytest.fixture
def repository_copy(tiny_repository: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_repository, tmp_path / "model_repository"))
