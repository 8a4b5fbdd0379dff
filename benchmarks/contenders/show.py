"""Show what was seen: a table in the terminal, and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from rich.console import Console
from rich.table import Table

mpl.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

Summary = dict[str, dict[str, dict[str, Any]]]
TITLES = {
    "cascade": "ours, by BLS",
    "cascade_in_process": "ours, in process",
    "naive": "(a) documentation's BLS",
    "batched": "(b) batch across requests",
    "early": "(c) … early answers, 4 instances",
    "large": "(d) last backbone alone",
    "ensemble": "(e) Triton ensemble of all",
    "ray": "(f) Ray Serve",
    "fused": "(g) fused in one model",
    "mosec": "(h) mosec pipeline",
    "small": "first backbone alone",
    "ideal": "ideal: in process, no server",
}
OURS = "tab:green"
OTHERS = "tab:gray"


def show(console: Console, title: str, summary: Summary) -> None:
    """Print a table a load."""
    for load, contenders in summary.items():
        table = Table(title=f"{title}: {load}", title_justify="left")
        for column in ("", "images/s", "of ideal", "easy p50", "p99", "hard p50", "p99 ms", "wrong"):
            table.add_column(column, justify="left" if not column else "right")
        for name, seen in sorted(contenders.items(), key=lambda item: -item[1]["images_per_second"]):
            share = f"{seen['share_of_ideal']:.2f}" if seen["share_of_ideal"] else ""
            latencies = [_latency(seen, exit_stage, q) for exit_stage in ("1", "3") for q in ("p50", "p99")]
            table.add_row(TITLES[name], f"{seen['images_per_second']:.0f}", share, *latencies, str(seen["wrong"]))
        console.print(table)


def _latency(seen: dict[str, Any], exit_stage: str, q: str) -> str:
    value = seen["latency_ms"].get(exit_stage, {}).get(q)
    return "" if value is None else f"{value:.1f}"


def plot(path: Path, summaries: dict[str, Summary]) -> None:
    """Draw a row a kind of stages: throughput under many clients, and latency of easy and hard images."""
    figure, rows = plt.subplots(len(summaries), 2, figsize=(12, 4.2 * len(summaries)), layout="constrained")
    for (title, summary), (left, right) in zip(summaries.items(), rows, strict=True):
        load, contenders = next(iter(summary.items()))
        ordered = sorted(contenders.items(), key=lambda item: item[1]["images_per_second"])
        ordered = [(name, seen) for name, seen in ordered if name != "small"]
        _draw_rates(left, f"{title}: {load}", ordered)
        _draw_latencies(right, f"{title}: latency, p50 to p99", ordered)
    figure.savefig(path, dpi=120)


def _draw_rates(axes: Axes, title: str, ordered: list[tuple[str, dict[str, Any]]]) -> None:
    names = [TITLES[name] for name, _ in ordered]
    bars = axes.barh(
        names,
        [seen["images_per_second"] for _, seen in ordered],
        color=[OURS if name.startswith("cascade") else OTHERS for name, _ in ordered],
    )
    axes.bar_label(bars, fmt="%.0f", padding=3)
    axes.set(title=title, xlabel="images a second, median of the rounds")
    axes.margins(x=0.12)
    axes.set_ylim(-0.8, len(ordered) - 0.2)


def _draw_latencies(axes: Axes, title: str, ordered: list[tuple[str, dict[str, Any]]]) -> None:
    for exit_stage, color, offset in (("1", "tab:blue", 0.15), ("3", "tab:red", -0.15)):
        places = [place for place, (_, seen) in enumerate(ordered) if exit_stage in seen["latency_ms"]]
        seen = [ordered[place][1]["latency_ms"][exit_stage] for place in places]
        p50, p99 = [one["p50"] for one in seen], [one["p99"] for one in seen]
        heights = [place + offset for place in places]
        axes.hlines(heights, p50, p99, color=color, alpha=0.5)
        axes.plot(p50, heights, "o", color=color, label={"1": "easy images", "3": "hard images"}[exit_stage])
    axes.set(title=title, xscale="log", xlabel="ms")
    axes.set_yticks(range(len(ordered)), [""] * len(ordered))
    axes.set_ylim(-0.8, len(ordered) - 0.2)
    axes.grid(axis="x", alpha=0.3)
    axes.legend()
