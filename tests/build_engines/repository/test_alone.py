"""Backbones as cascades of one stage: served as the cascade is, and measured in the backbones' place."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from build_cascade.report.content import ENSEMBLE
from build_cascade.served_throughput import UNLIKE, measure_served
from build_engines.costs import throughput
from build_engines.costs.latency import BY_TRITON, IN_PROCESS
from build_engines.doctor.entries import read_entries
from build_engines.images.opening import open_images
from build_engines.pool.artifacts import PoolBuild
from build_engines.repository.alone import remove_alone, write_alone
from build_engines.repository.foreign_entries import foreign_entry_notes
from cascade_client.bench.served import Server, models_beside
from cascade_core.contract import CASCADE
from cascade_core.spec import Serving, read_cascade
from embedded_server import EmbeddedServer
from embedded_server.preflight import backbones
from tests.support.helpers import CLASSES, LABELS, random_canvases
from tests.support.serving import ask

NAMES = ("small", "medium", "large")


@pytest.fixture
def repository(repository_copy, tiny_build):
    """One whose cascade runs its stages in process, and whose backbones are served alone too."""
    file = repository_copy / CASCADE / "cascade.json"
    file.write_text(dataclasses.replace(read_cascade(file), serving=Serving(reach="in_process")).to_json())
    write_alone(tiny_build, repository_copy)
    return repository_copy


@pytest.fixture
def images(tmp_path):
    for place, canvas in enumerate(random_canvases(2 * CLASSES, seed=4)):
        path = tmp_path / "images" / LABELS[place % CLASSES] / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(canvas).save(path)
    return tmp_path / "images"


@pytest.fixture
def measured_on(tiny_build, tmp_path, images, monkeypatch):
    """Measure what a server serves, in short rounds."""
    for name, value in (("ROUND_S", 0.02), ("LEAST_REQUESTS", 1), ("MOST_ROUNDS", 2)):
        monkeypatch.setattr(throughput, name, value)
    (tmp_path / "build" / "tiny").mkdir(parents=True)
    (tmp_path / "build" / "tiny" / "onnx").symlink_to(tiny_build.folder / "onnx")
    build = PoolBuild.of(tiny_build.pool, tmp_path / "build")
    return lambda server, repository: measure_served(
        build, open_images(str(images), LABELS), server.addresses.grpc, repository / CASCADE / "cascade.json"
    )[0]


def test_they_answer_as_the_backbones_and_are_compared_with_the_cascade(repository, measured_on):
    canvases = random_canvases(4)
    with EmbeddedServer(repository) as server:
        for name in NAMES:
            alone = ask(server, f"{name}_alone", canvases, ["probabilities", "exit_stage"])
            np.testing.assert_allclose(
                alone["probabilities"], ask(server, name, canvases, ["probabilities"])["probabilities"], atol=1e-3
            )
            assert set(alone["exit_stage"].ravel()) == {1}
        measured = measured_on(server, repository)
        with Server(server.addresses.grpc) as connected:
            cascade = connected.describe(CASCADE)
            beside = models_beside(connected, cascade)
    assert {name: row.served for name, row in measured.rows.items()} == dict.fromkeys(
        (*NAMES, ENSEMBLE, CASCADE), IN_PROCESS
    )
    assert UNLIKE not in measured.notes()
    assert (cascade.served, cascade.stages) == (IN_PROCESS, 3)
    assert [(model.name, model.served) for model in beside] == [(f"{name}_alone", IN_PROCESS) for name in sorted(NAMES)]


def test_without_them_what_does_not_compare_is_said(repository, tiny_build, measured_on):
    remove_alone(tiny_build, repository)
    assert not list(repository.glob("*_alone"))
    with EmbeddedServer(repository) as server:
        measured = measured_on(server, repository)
        with Server(server.addresses.grpc) as connected:
            beside = models_beside(connected, connected.describe(CASCADE))
    assert {name: row.served for name, row in measured.rows.items()} == {
        **dict.fromkeys((*NAMES, ENSEMBLE), BY_TRITON),
        CASCADE: IN_PROCESS,
    }
    assert UNLIKE in measured.notes()
    assert [(model.name, model.served) for model in beside] == [(name, BY_TRITON) for name in sorted(NAMES)]


def test_they_are_no_backbones(repository, tiny_build):
    assert backbones(repository) == sorted(NAMES)
    assert sorted(read_entries(repository)[0]) == sorted(NAMES)
    assert foreign_entry_notes(repository, tiny_build.pool) == []
