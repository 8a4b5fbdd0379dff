"""Small random pools with every nasty thing in them: ties, equal confidences, saturated ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from build_cascade.exhaustive.grid import quantile_thresholds
from build_cascade.exhaustive.sources import DenseSource, Problem, TopKSource
from cascade_core import gating
from cascade_core.gating import GatingRule

LEVELS = np.array([0, 1e-7, 1e-4, 0.1, 0.125, 0.2, 0.3, 0.5, 0.9, 0.9996, 1.0])


def dense_rows(rng: np.random.Generator, images: int, classes: int, kind: str) -> npt.NDArray[np.float16]:
    """Return float16 [N, C]; `coarse` rows repeat few values, `smooth` ones are softmaxes, `flat` all equal."""
    if kind == "flat":
        return np.full((images, classes), 1 / classes, np.float16)
    if kind == "smooth":
        logits = rng.normal(size=(images, classes)) * rng.choice([0.5, 3, 15], (images, 1))
        rows = np.exp(logits - logits.max(axis=1, keepdims=True))
    else:
        rows = rng.choice(LEVELS, (images, classes))
        rows[np.arange(images), rng.integers(classes, size=images)] = rng.choice([0.5, 0.9, 1.0], images)
    return (rows / rows.sum(axis=1, keepdims=True)).astype(np.float16)


def to_topk(rows: npt.NDArray[np.float16], k: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float16]]:
    """Return the k largest of each row, descending."""
    ids = np.argsort(-rows, axis=1, kind="stable")[:, :k].astype(np.int32)
    return ids, np.take_along_axis(rows, ids, axis=1)


@st.composite
def pools(draw: st.DrawFn, most_models: int = 4) -> tuple[Problem, list[npt.NDArray[np.float16]]]:
    """Draw a pool, dense or top-k, and the dense predictions that gating.py gets."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    models, images = draw(st.integers(1, most_models)), draw(st.integers(1, 60))
    classes = draw(st.sampled_from([1, 2, 3, 7, 40]))
    kinds = [draw(st.sampled_from(["coarse", "smooth", "flat"])) for _ in range(models)]
    arrays = [dense_rows(rng, images, classes, kind) for kind in kinds]
    costs = rng.choice([0.1, 0.3, 0.7, 1, 1 / 3, 5], models)
    # Labels that the models often hit, else every cascade is equally bad.
    hit = arrays[int(rng.integers(models))].argmax(axis=1)
    labels = np.where(rng.random(images) < 0.6, hit, rng.integers(classes, size=images)).astype(np.int32)
    return make_pool(arrays, costs, labels, topk=min(3, classes) if draw(st.booleans()) else None)


def make_pool(
    arrays: Sequence[npt.NDArray[np.float16]],
    costs: Sequence[float],
    labels: npt.ArrayLike,
    topk: int | None = None,
) -> tuple[Problem, list[npt.NDArray[np.float16]]]:
    names = tuple(f"m{model}" for model in range(len(arrays)))
    source: DenseSource | TopKSource = DenseSource(arrays)
    dense = list(arrays)
    if topk is not None:
        pairs = [to_topk(rows, topk) for rows in arrays]
        source = TopKSource([ids for ids, _ in pairs], [rows for _, rows in pairs], arrays[0].shape[1])
        dense = [source.dense(model) for model in range(len(arrays))]
    return Problem(names, np.array(costs, float), source, np.array(labels, np.int32)), dense


def equal_weights(confidence: str = "max_probability", combine: str = "mean") -> GatingRule:
    return GatingRule((1.0,) * 4, confidence, combine)


def replayed(
    dense: Sequence[npt.NDArray[np.float16]],
    committee: Sequence[int],
    rule: GatingRule,
    thresholds: Sequence[float],
) -> gating.Outcome:
    with np.errstate(all="raise"):
        return gating.replay(rule.first(len(committee)), thresholds, [dense[model] for model in committee])


def own_answers(
    dense: Sequence[npt.NDArray[np.float16]],
    committee: Sequence[int],
    rule: GatingRule,
    thresholds: Sequence[float],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return (class_id, exit_stage) of a cascade without averaging, one gating.py a stage."""
    alone = GatingRule((1.0,), rule.confidence)
    outcomes = [gating.replay(alone, [], [dense[model]]) for model in committee]
    confident = np.array([o.confidence for o in outcomes]) >= np.array([*thresholds, -np.inf], np.float32)[:, None]
    stage = confident.argmax(axis=0)
    classes = np.array([o.class_id for o in outcomes])
    return classes[stage, np.arange(len(stage))], (stage + 1).astype(np.int32)


def grids(
    dense: Sequence[npt.NDArray[np.float16]], committee: Sequence[int], rule: GatingRule, count: int
) -> Iterator[tuple[float, ...]]:
    """Yield every choice of thresholds, the confidences being those of gating.py."""
    choices = []
    for size in range(1, len(committee)):
        if rule.combine == "last":
            end = replayed(dense, committee[size - 1 : size], GatingRule((1.0,), rule.confidence), [])
        else:
            end = replayed(dense, committee[:size], rule, [math.inf] * (size - 1))
        choices.append([*quantile_thresholds(end.confidence, count).tolist(), math.inf])
    yield from itertools.product(*choices)


def cost_and_right(
    class_id: npt.NDArray[np.int32], exit_stage: npt.NDArray[np.int32], pool: Problem, committee: Sequence[int]
) -> tuple[float, int]:
    total = 0.0
    for stage, model in enumerate(committee):
        total += float(pool.costs[model]) * int((exit_stage > stage).sum())
    return total / pool.images, int((class_id == pool.labels).sum())


def brute_force(
    pool: Problem,
    dense: Sequence[npt.NDArray[np.float16]],
    committees: Sequence[tuple[int, ...]],
    rule: GatingRule,
    count: int,
) -> tuple[npt.NDArray[np.float64], int]:
    """Return (best mean cost for each number of right answers, cells) by running every cascade."""
    best = np.full(pool.images + 1, np.inf)
    cells = 0
    for committee in committees:
        for thresholds in grids(dense, committee, rule, count):
            if rule.combine == "last":
                class_id, exit_stage = own_answers(dense, committee, rule, thresholds)
            else:
                outcome = replayed(dense, committee, rule, thresholds)
                class_id, exit_stage = outcome.class_id, outcome.exit_stage
            cost, right = cost_and_right(class_id, exit_stage, pool, committee)
            best[right] = min(best[right], cost)
            cells += 1
    return best, cells
