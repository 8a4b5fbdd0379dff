"""The backbones and the cascade in this process: without the costs of server and clients."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

import numpy as np

from build_engines.images.canvas import Canvas
from cascade_core.gating import GateState, GatingRule, Outcome, stop_at
from gpu_bench.deck import Deck, Floats
from gpu_bench.load import Seen
from gpu_bench.runtimes import Predict
from gpu_bench.studies import Line


def predict_all(predict: Predict, images: Canvas, call: int) -> Floats:
    """Ask about many images, `call` of them at once."""
    return np.concatenate([predict(images[start : start + call]) for start in range(0, len(images), call)])


class InProcess:
    """A line's stages in this process, called one after another."""

    def __init__(self, line: Line, predicts: Mapping[str, Predict], thresholds: Sequence[float], call: int) -> None:
        """Take a predictor of each backbone, the line's thresholds, and the images per call."""
        self._stages = [predicts[name] for name in line.stages]
        self._row = stop_at(thresholds, len(line.stages))
        self._rule = GatingRule((1.0,) * len(line.stages))
        self._call = call

    def answer(self, images: Canvas) -> Outcome:
        """Take images through the stages; those that remain are regrouped into full calls."""
        gate = GateState(self._rule, np.broadcast_to(self._row, (len(images), len(self._row))))
        for predict in self._stages:
            rows = gate.open_rows
            if len(rows):
                gate.advance(predict_all(predict, images if len(rows) == len(images) else images[rows], self._call))
        return gate.outcome()

    def measure(self, deck: Deck, seconds: float) -> tuple[Seen, float]:
        """Answer a deck over and over, at least once.

        Calls of one image are timed one by one; of more, as many images go through together as fill the calls of the
        first stage, and there is no latency to speak of.

        Returns:
            What was seen, and the seconds it took.
        """
        groups, seen, busy_s = self._groups(deck), Seen(), 0.0
        self.answer(groups[0].images)  # the first call may initialise something
        while busy_s < seconds:
            for group in groups:
                started_s = time.perf_counter()
                outcome = self.answer(group.images)
                passed_s = time.perf_counter() - started_s
                busy_s += passed_s
                seen.add(_seen(group, outcome, passed_s * 1e3 if self._call == 1 else None))
        return seen, busy_s

    def _groups(self, deck: Deck) -> list[Deck]:
        if self._call == 1:
            return [deck.take(np.array([row])) for row in range(len(deck.images))]
        return [deck.take(np.arange(math.lcm(len(deck.images), self._call)) % len(deck.images))]


def _seen(group: Deck, outcome: Outcome, latency_ms: float | None) -> Seen:
    right = (outcome.class_id == group.class_id) & (outcome.exit_stage == group.exit_stage)
    latencies_ms = {} if latency_ms is None else {int(group.exit_stage.max()): [latency_ms]}
    return Seen(latencies_ms, len(right), int(np.sum(~right)))
