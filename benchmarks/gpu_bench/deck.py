"""The images that are sent: made so that exit rates are the given ones, and every answer is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from build_engines.images.canvas import Canvas
from cascade_core.gating import UNREACHABLE, GatingRule, Outcome, replay

SIZE = 100  # images of a deck: shares of a hundredth are exact in it
CHOICE = 4  # images to choose each one from

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Deck:
    """Images in the order in which they are sent, with the right answer for each.

    Attributes:
        images: UINT8 [N, S, S, 3].
        class_id: INT32 [N].
        exit_stage: INT32 [N]; 1 is the first stage.
    """

    images: Canvas
    class_id: npt.NDArray[np.int32]
    exit_stage: npt.NDArray[np.int32]

    def take(self, rows: Rows) -> Deck:
        """Return some of its images."""
        return Deck(self.images[rows], self.class_id[rows], self.exit_stage[rows])

    def save(self, path: Path) -> None:
        """Write it, for clients in other processes."""
        np.savez(path, images=self.images, class_id=self.class_id, exit_stage=self.exit_stage)

    @classmethod
    def load(cls, path: Path) -> Deck:
        """Read it."""
        with np.load(path) as file:
            return cls(file["images"], file["class_id"], file["exit_stage"])


def candidates(canvas: int, seed: int = 0) -> Canvas:
    """Return images that untrained networks tell apart, UINT8 [N, S, S, 3].

    They are random patterns: coarse and fine, smooth and edged, pale and bright.
    """
    rng = np.random.default_rng(seed)
    return np.stack([_pattern(canvas, rng) for _ in range(SIZE * CHOICE)])


def _pattern(canvas: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    cells = int(rng.integers(2, 24))
    colours = rng.integers(0, 256, (cells, cells, 3), np.uint8)
    kind = rng.choice([Image.Resampling.NEAREST, Image.Resampling.BICUBIC])
    levels = np.asarray(Image.fromarray(colours).resize((canvas, canvas), kind), np.float32)
    faded = 128 + (levels - 128) * rng.uniform(0.1, 1) + rng.uniform(-60, 60)
    return faded.clip(0, 255).astype(np.uint8)


def thresholds_of(predictions: Sequence[Floats], exits: Sequence[float]) -> tuple[float, ...]:
    """Return thresholds by quantile: at each stage but the last, the given share of all images leaves.

    Args:
        predictions: FP32 [N, C], one a stage.
        exits: Share of the images that is to leave at each stage.
    """
    no_exits = [UNREACHABLE] * (len(exits) - 1)
    confidence = replay(_rule(exits), no_exits, predictions).stage_confidence
    count, thresholds = len(confidence), []
    still_in = np.arange(count)
    for stage, share in enumerate(exits[:-1]):
        seen = confidence[still_in, stage]
        ascending = np.sort(seen)
        first = len(ascending) - round(share * count)  # of those that leave
        thresholds.append(float(ascending[first - 1] + ascending[first]) / 2)
        still_in = still_in[seen < thresholds[-1]]
    return tuple(thresholds)


def deal(
    images: Canvas, predictions: Sequence[Floats], exits: Sequence[float], thresholds: Sequence[float], seed: int = 0
) -> Deck:
    """Choose the images of a deck, at the given shares of exits, with the right answer for each.

    They are of those that are furthest from any threshold and from a tie of two classes: what rounds otherwise in
    another batch size then changes no answer. Of these, they are of as many classes as there are: an answer that goes
    to another image is then wrong.
    """
    outcome = replay(_rule(exits), thresholds, predictions)
    clear = _clearness(outcome, thresholds)
    chosen = [
        _choose(np.flatnonzero(outcome.exit_stage == stage), clear, outcome.class_id, round(share * SIZE))
        for stage, share in enumerate(exits, start=1)
    ]
    rows = np.random.default_rng(seed).permutation(np.concatenate(chosen))
    return Deck(images, outcome.class_id, outcome.exit_stage).take(rows)


def _rule(exits: Sequence[float]) -> GatingRule:
    return GatingRule((1.0,) * len(exits))


def _choose(rows: Rows, clear: Floats, class_id: npt.NDArray[np.int32], count: int) -> Rows:
    """Return rows of the clearer half: of each class the clearest, then of each the second, and so on."""
    clearer = rows[np.argsort(-clear[rows], kind="stable")][: max(len(rows) // 2, count)]
    seen: Counter[int] = Counter()
    places = []
    for one in class_id[clearer].tolist():
        places.append(seen[one])
        seen[one] += 1
    return clearer[np.argsort(places, kind="stable")][:count]


def _clearness(outcome: Outcome, thresholds: Sequence[float]) -> Floats:
    """Return how far an image is from another answer, as a share of the deciding value, FP32 [N]."""
    top_two = np.partition(outcome.probabilities, -2, axis=1)[:, -2:]
    clear = 1 - top_two[:, 0] / top_two[:, 1]
    for stage, threshold in enumerate(thresholds):
        gap = np.abs(outcome.stage_confidence[:, stage] / threshold - 1)
        clear = np.minimum(clear, np.where(np.isnan(gap), np.inf, gap))
    return np.asarray(clear, np.float32)
