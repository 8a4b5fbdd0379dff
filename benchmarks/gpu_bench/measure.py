"""Measure a study in interleaved rounds, as many as there is time for; what was measured is kept after each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from build_engines.pool.schema import Pool
from build_engines.support.atomic_files import write_text_whole
from gpu_bench.building import write_cascade
from gpu_bench.deck import Deck, candidates, deal, thresholds_of
from gpu_bench.in_process import InProcess, predict_all
from gpu_bench.limits import measure_limits
from gpu_bench.load import Clients, Load, Seen
from gpu_bench.runtimes import Predict
from gpu_bench.servers import NotServedError
from gpu_bench.studies import Line, Study

Round = dict[str, Any]
OnProgress = Callable[[str], None]
Served = Callable[[], AbstractContextManager[str]]  # yields host:port
REFERENCE_CALL = 16


@dataclass(frozen=True)
class Prepared:
    """What a line is measured with: its stages in this process and its images."""

    line: Line
    in_process: InProcess
    deck: Deck
    deck_file: Path


@dataclass
class StudyRecord:
    """The rounds of one study; an interrupted run resumes from its file.

    Attributes:
        key: What the rounds depend on; a file with another key is replaced.
        rounds: What was measured, round by round.
        not_served: Why there was no server; None where there was one.
    """

    key: str
    rounds: list[Round] = field(default_factory=list)
    not_served: str | None = None

    @classmethod
    def resume(cls, path: Path, key: str, not_served: str | None = None) -> StudyRecord:
        """Read what an earlier run measured, if its key and its reason for having no server are the same."""
        if path.is_file():
            kept = cls(**json.loads(path.read_text()))
            if (kept.key, kept.not_served) == (key, not_served):
                return kept
        return cls(key, not_served=not_served)

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        write_text_whole(path, json.dumps(asdict(self), indent=1))


def prepare(
    study: Study, pool: Pool, predicts: Mapping[str, Predict], repository: Path, folder: Path
) -> list[Prepared]:
    """Choose thresholds and images for every line, keep the images in a folder, and write each cascade's entry."""
    images = candidates(pool.canvas)
    call = min(REFERENCE_CALL, pool.backbones[0].max_batch_size)
    predictions = {name: predict_all(predict, images, call) for name, predict in predicts.items()}
    folder.mkdir(parents=True, exist_ok=True)

    def prepared(line: Line) -> Prepared:
        seen, file = [predictions[name] for name in line.stages], folder / f"{line.name}.npz"
        thresholds = thresholds_of(seen, line.exits)
        deck = deal(images, seen, line.exits, thresholds)
        deck.save(file)
        if line.is_cascade:
            write_cascade(pool, line, thresholds, repository, study.most_images)
        return Prepared(line, InProcess(line, predicts, thresholds, study.call), deck, file)

    return [prepared(line) for line in study.lines]


@dataclass(frozen=True)
class Budget:
    """A limit on the rounds and the time of a measurement; one round is always allowed."""

    rounds: int
    end_s: float
    slice_s: float

    def allows(self, done: int, longest_s: float) -> bool:
        """Return whether to start another round."""
        return done == 0 or (done < self.rounds and time.monotonic() + longest_s < self.end_s)


class Meter:
    """A measurement of a study's lines, in this process and, where there is a server, through it."""

    def __init__(
        self, study: Study, budget: Budget, clients: Clients, on_progress: OnProgress, url: str | None
    ) -> None:
        self._study = study
        self._budget = budget
        self._clients = clients
        self._on_progress = on_progress
        self._url = url

    def rounds(self, prepared: Sequence[Prepared], done: int) -> Iterator[Round]:
        """Measure round after round for as long as the budget allows."""
        longest_s = 0.0
        while self._budget.allows(done, longest_s):
            started_s = time.monotonic()
            yield self._round(prepared, done)
            done += 1
            longest_s = max(longest_s, time.monotonic() - started_s)

    def _round(self, prepared: Sequence[Prepared], done: int) -> Round:
        """Measure the device's limits and every line once; every other round in the opposite order."""
        seen: Round = {"limits": asdict(measure_limits()), "lines": {}}
        for one in prepared if done % 2 == 0 else reversed(prepared):
            self._on_progress(f"{self._study.name}, round {done + 1}: {one.line.name}")
            line = {"in_process": _figures(*one.in_process.measure(one.deck, self._budget.slice_s))}
            if self._url:
                line["served"] = self._served(self._url, one)
            seen["lines"][one.line.name] = line
        return seen

    def _served(self, url: str, one: Prepared) -> Round:
        load = Load(self._study.clients, self._study.batch, self._budget.slice_s)
        before = {name: _counts(url, name) for name in one.line.stages}
        seen = self._clients.ask(url, one.line.name, one.deck_file, load)
        after = {name: _counts(url, name) for name in one.line.stages}
        calls = {name: after[name] - before[name] for name in one.line.stages}
        per_call = {name: float(images / max(executions, 1)) for name, (images, executions) in calls.items()}
        return _figures(seen, load.seconds) | {"images_per_call": per_call}


def measure(
    meter: Callable[[str | None], Meter], prepared: Sequence[Prepared], served: Served, record: StudyRecord, path: Path
) -> None:
    """Add rounds to a record; without a server, those of this process alone, and the record says why."""
    if record.not_served is None:
        try:
            with served() as url:
                _add_rounds(meter(url), prepared, record, path)
        except (NotServedError, InferenceServerException) as error:
            if record.rounds:  # a later round failed: those before it count
                raise
            record.not_served = str(error)
    if record.not_served is not None:
        _add_rounds(meter(None), prepared, record, path)


def _add_rounds(meter: Meter, prepared: Sequence[Prepared], record: StudyRecord, path: Path) -> None:
    for seen in meter.rounds(prepared, len(record.rounds)):
        record.rounds.append(seen)
        record.save(path)


def _figures(seen: Seen, seconds: float) -> Round:
    everything = [latency_ms for some in seen.latencies_ms.values() for latency_ms in some]
    by_exit = {str(stage): _spread(some) for stage, some in sorted(seen.latencies_ms.items())}
    return {
        "images_per_second": seen.images / seconds,
        "wrong": seen.wrong,
        "images": seen.images,
        "latency_ms": _spread(everything) if everything else {},
        "latency_ms_by_exit": by_exit,
    }


def _spread(latencies_ms: Sequence[float]) -> dict[str, float]:
    percentiles = {f"p{q}": float(np.percentile(latencies_ms, q)) for q in (50, 99)}
    return {"mean": float(np.mean(latencies_ms)), **percentiles}


def _counts(url: str, model: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return how many images a served backbone has answered, and in how many calls."""
    with InferenceServerClient(url) as client:
        (statistics,) = client.get_inference_statistics(model).model_stats
    return np.array([statistics.inference_count, statistics.execution_count])
