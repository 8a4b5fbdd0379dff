"""Medians of the rounds, ratios within each round, and shares of what the card attains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from gpu_bench.measure import Round
from gpu_bench.studies import LATENCY, Line, Study

WAYS = ("in_process", "served")


@dataclass(frozen=True)
class Cost:
    """Hold what one image, or one call, costs in a backbone.

    Attributes:
        gmacs: Multiply-accumulates of an image in units of 10⁹; those of the resize from the canvas are not counted.
        weight_bytes: That a call reads at least.
    """

    gmacs: float
    weight_bytes: float


def summarise(
    study: Study, rounds: Sequence[Round], costs: Mapping[str, Cost], canvas_bytes: int
) -> dict[str, dict[str, Any]]:
    """Return what was seen of each line, by name."""
    by_name = {line.name: line for line in study.lines}
    lines = {}
    for line in study.lines:
        reference = by_name.get(line.against or "")
        lines[line.name] = {
            "stages": line.stages,
            "exits": line.exits,
            "gmacs": mean_gmacs(line, costs),
            "against": line.against,
            "gmacs_ratio": mean_gmacs(reference, costs) / mean_gmacs(line, costs) if reference else None,
        } | {
            way: _way(study, rounds, line, way, costs, canvas_bytes)
            for way in WAYS
            if way in rounds[0]["lines"][line.name]
        }
    return lines


def limits(rounds: Sequence[Round]) -> dict[str, float]:
    """Return the medians of what the device attains."""
    return {name: median(one["limits"][name] for one in rounds) for name in ("flops", "bytes_per_s")}


def mean_gmacs(line: Line, costs: Mapping[str, Cost]) -> float:
    """Return the multiply-accumulates of an image at the line's exit rates, in units of 10⁹."""
    return sum(share * costs[name].gmacs for share, name in zip(line.reached, line.stages, strict=True))


def _way(
    study: Study, rounds: Sequence[Round], line: Line, way: str, costs: Mapping[str, Cost], canvas_bytes: int
) -> dict[str, Any]:
    def middle(of: Callable[[Round], float]) -> float:
        return median(of(one) for one in rounds)

    def seen(one: Round, name: str = line.name, how: str = way) -> dict[str, Any]:
        return one["lines"][name][how]  # type: ignore[no-any-return]

    def flops(one: Round) -> float:
        return 2e9 * mean_gmacs(line, costs) * float(seen(one)["images_per_second"])

    def bytes_per_s(one: Round) -> float:
        per_call = seen(one).get("images_per_call") or dict.fromkeys(line.stages, study.call)
        moved = [costs[name].weight_bytes / max(per_call[name], 1) + canvas_bytes for name in line.stages]
        return float(seen(one)["images_per_second"]) * sum(
            share * some for share, some in zip(line.reached, moved, strict=True)
        )

    result: dict[str, Any] = {
        "images_per_second": middle(lambda one: seen(one)["images_per_second"]),
        "rounds": [seen(one)["images_per_second"] for one in rounds],
        "latency_ms": {q: middle(lambda one, q=q: seen(one)["latency_ms"][q]) for q in seen(rounds[0])["latency_ms"]},
        "latency_ms_by_exit": _by_exit([seen(one)["latency_ms_by_exit"] for one in rounds]),
        "wrong": sum(seen(one)["wrong"] for one in rounds),
        "images": sum(seen(one)["images"] for one in rounds),
        "tflops": middle(flops) / 1e12,
        "share_of_flops": middle(lambda one: flops(one) / one["limits"]["flops"]),
        "gigabytes_per_s": middle(bytes_per_s) / 1e9,
        "share_of_bytes": middle(lambda one: bytes_per_s(one) / one["limits"]["bytes_per_s"]),
    }
    if line.against:
        result["ratio"] = middle(lambda one: _faster(study, seen(one), seen(one, str(line.against))))
    if way == "served":
        result["of_in_process"] = middle(lambda one: _faster(study, seen(one), seen(one, how="in_process")))
    return result


def _faster(study: Study, one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Return how many times faster one is than another, by what the study is about."""
    if study.metric == LATENCY:
        return float(other["latency_ms"]["mean"] / one["latency_ms"]["mean"])
    return float(one["images_per_second"] / other["images_per_second"])


def _by_exit(rounds: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    stages = sorted({stage for one in rounds for stage in one})
    return {
        stage: {q: median(one[stage][q] for one in rounds if stage in one) for q in ("mean", "p50", "p99")}
        for stage in stages
    }
