"""Real architectures as stages of a served cascade, from pool file to the client's answers; weights are random."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from build_engines.export.export import check_exported, export_pool
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import TimmBackbone, load_pool
from build_engines.repository.writer import write_repository
from cascade_client import CascadeClient
from cascade_core.spec import Cascade, Serving, Stage
from embedded_server import EmbeddedServer
from tests.support.helpers import onnx_probabilities, random_canvases, spread_thresholds
from tests.support.serving import ask, offline

VIT = load_pool(Path(__file__).parents[2] / "pools" / "vit.yaml")
IMAGES, LEAVE, BATCH = 16, 0.75, 4
A_FLOAT16 = 2**-10  # a step of float16, relative: predictions are rounded to it


def tiny_pool():
    """ViT-Ti whole, at sizes that a laptop runs in milliseconds."""
    sizes = {"tiny_at_32": 32, "tiny_at_64": 64}
    common = {"architecture": "vit_tiny_patch16_224", "weights": "random", "classes": 1000, "crop_pct": 1.0}
    backbones = tuple(TimmBackbone(name=name, input_size=size, **common) for name, size in sizes.items())
    return VIT.model_copy(update={"name": "vit-tiny", "canvas": 64, "backbones": backbones})


def vit_pool():
    """ViT-B and ViT-L of the pool file."""
    backbones = (VIT.backbone("vit_base_at_224"), VIT.backbone("vit_large_at_224"))
    return VIT.variant(random_weights=True).model_copy(
        update={"backbones": tuple(b.model_copy(update={"weights": "random"}) for b in backbones)}
    )


def serve(pool, folder):
    """Build all that is served; return the repository, the cascade and the images."""
    build, repository = PoolBuild.of(pool, folder), folder / "repository"
    images = random_canvases(IMAGES, seed=3, size=pool.canvas)
    check_exported(export_pool(build, images[:8]))
    write_repository(build, repository, encoded=False)
    predictions = [
        np.concatenate([onnx_probabilities(build[backbone.name].onnx, part) for part in np.split(images, 4)])
        for backbone in pool.backbones
    ]
    (threshold,) = spread_thresholds(predictions, (1.0, 1.0), LEAVE)
    small, large = (backbone.name for backbone in pool.backbones)
    stages = (Stage(small, threshold=threshold, max_batch_size=BATCH), Stage(large, max_batch_size=BATCH))
    serving = Serving(reach="bls")
    cascade = Cascade("vit", pool.canvas, pool.labels, stages, max_batch_size=BATCH, serving=serving)
    (repository / "cascade" / "cascade.json").write_text(cascade.to_json())
    return repository, cascade, images


@pytest.mark.parametrize("pool", [tiny_pool, pytest.param(vit_pool, marks=pytest.mark.large)])
def test_a_cascade_of_vits_answers_as_replayed_and_leaves_at_the_rate_set(pool, tmp_path):
    repository, cascade, images = serve(pool(), tmp_path)
    with EmbeddedServer(repository) as server:
        predictions = [
            np.concatenate(
                [ask(server, s.model, part, ["probabilities"])["probabilities"] for part in np.split(images, 4)]
            )
            for s in cascade.stages
        ]
        with CascadeClient(server.addresses.grpc, timeout_s=300) as client:
            answers = client.classify(list(images))
    replayed = offline(cascade, predictions)
    assert [answer.exit_stage for answer in answers] == replayed.exit_stage.tolist()
    assert [answer.class_id for answer in answers] == replayed.class_id.tolist()
    assert [answer.label for answer in answers] == [cascade.labels[class_id] for class_id in replayed.class_id]
    np.testing.assert_allclose([answer.confidence for answer in answers], replayed.confidence, rtol=A_FLOAT16)
    assert np.mean(replayed.exit_stage == 1) == pytest.approx(LEAVE, abs=1 / IMAGES)  # two may tie in float16
    assert len(set(replayed.class_id)) > 1
