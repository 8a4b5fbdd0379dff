"""Medians of the rounds, ratios within each round, and shares of what the card attains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from gpu_bench.costs import Cost, mean_gmacs
from gpu_bench.measure import Round
from gpu_bench.studies import LATENCY, Line, Study

MODES = ("in_process", "served")


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
            mode: _in_mode(study, rounds, line, mode, costs, canvas_bytes)
            for mode in MODES
            if mode in rounds[0]["lines"][line.name]
        }
    return lines


def limits(rounds: Sequence[Round]) -> dict[str, float]:
    """Return the medians of what the device attains."""
    return {name: median(one["limits"][name] for one in rounds) for name in ("flops", "bytes_per_s")}


def _in_mode(
    study: Study, rounds: Sequence[Round], line: Line, mode: str, costs: Mapping[str, Cost], canvas_bytes: int
) -> dict[str, Any]:
    ours = [one["lines"][line.name] for one in rounds]
    seen = [one[mode] for one in ours]
    rates = [float(one["images_per_second"]) for one in seen]
    flops = [2e9 * mean_gmacs(line, costs) * rate for rate in rates]
    moved = [_bytes_of_image(study, line, one, costs, canvas_bytes) * one["images_per_second"] for one in seen]
    result: dict[str, Any] = {
        "images_per_second": median(rates),
        "rounds": rates,
        "latency_ms": _medians([one["latency_ms"] for one in seen]),
        "latency_ms_by_exit": _by_exit([one["latency_ms_by_exit"] for one in seen]),
        "wrong": sum(one["wrong"] for one in seen),
        "images": sum(one["images"] for one in seen),
        "tflops": median(flops) / 1e12,
        "share_of_flops": _share(flops, rounds, "flops"),
        "gigabytes_per_s": median(moved) / 1e9,
        "share_of_bytes": _share(moved, rounds, "bytes_per_s"),
    }
    if line.against:
        result["ratio"] = _faster(study, seen, [one["lines"][line.against][mode] for one in rounds])
    if mode != MODES[0]:
        result["of_in_process"] = _faster(study, seen, [one[MODES[0]] for one in ours])
        result["images_per_call"] = _medians([one["images_per_call"] for one in seen])
    return result


def _bytes_of_image(
    study: Study, line: Line, seen: Mapping[str, Any], costs: Mapping[str, Cost], canvas_bytes: int
) -> float:
    """Return what an image moves at least: the canvas in each stage, and its part of the weights that a call reads."""
    per_call = seen.get("images_per_call") or dict.fromkeys(line.stages, study.call)
    moved = [costs[name].weight_bytes / max(per_call[name], 1) + canvas_bytes for name in line.stages]
    return float(sum(share * some for share, some in zip(line.reached, moved, strict=True)))


def _share(values: Sequence[float], rounds: Sequence[Round], limit: str) -> float:
    return float(median(value / one["limits"][limit] for value, one in zip(values, rounds, strict=True)))


def _faster(study: Study, some: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> float:
    """Return how many times faster some are than others, round by round, by what the study is about."""
    pairs = zip(some, others, strict=True)
    if study.metric == LATENCY:
        return float(median(other["latency_ms"]["mean"] / one["latency_ms"]["mean"] for one, other in pairs))
    return float(median(one["images_per_second"] / other["images_per_second"] for one, other in pairs))


def _by_exit(rounds: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    stages = sorted({stage for one in rounds for stage in one})
    return {stage: _medians([one[stage] for one in rounds if stage in one]) for stage in stages}


def _medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: median(one[name] for one in rounds if name in one) for name in rounds[0]}
