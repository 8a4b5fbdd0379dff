"""Shared by the tests of the served cascade: images of every difficulty, and what each stage says of them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.helpers import random_canvases
from tests.support.serving import IMAGES, ask, offline


@pytest.fixture(scope="session")
def images():
    return random_canvases(IMAGES, seed=1)


@pytest.fixture(scope="session")
def predictions(server, images, tiny_cascade):
    batches = np.split(images, IMAGES // 8)
    return [
        np.concatenate([ask(server, stage.model, batch, ["probabilities"])["probabilities"] for batch in batches])
        for stage in tiny_cascade.stages
    ]


@pytest.fixture(scope="session")
def outcome(tiny_cascade, predictions):
    return offline(tiny_cascade, predictions)


@pytest.fixture(scope="session")
def easy(outcome):
    """Which images leave at the first stage."""
    return np.flatnonzero(outcome.exit_stage == 1)


@pytest.fixture(scope="session")
def hard(outcome):
    """Which images need the last stage."""
    return np.flatnonzero(outcome.exit_stage == 3)
