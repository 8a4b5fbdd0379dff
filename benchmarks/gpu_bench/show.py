"""Show what was seen: a table a study in the terminal, and a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from gpu_bench.studies import LATENCY

if TYPE_CHECKING:  # a GPU machine may have no matplotlib
    from matplotlib.axes import Axes

Result = Mapping[str, Any]
COLOURS = {"in_process": "tab:gray", "served": "tab:green"}
HEIGHT_OF_LINE = 0.42
WHOLE = 100  # from here on, figures without a point


def table(name: str, study: Result) -> Table:
    """Return the figures of one study: in process / served, where there was a server."""
    shown = Table(title=f"{name} ({study['metric']}): in process / served", title_justify="left")
    columns = (
        "",
        "exits %",
        "GMACs",
        "images/s",
        "ms mean",
        "ms p99",
        "× against",
        "by MACs",
        "TFLOP/s %",
        "bytes/s %",
    )
    for column in (*columns, "wrong"):
        shown.add_column(column, justify="right" if column else "left")
    for line, seen in study["lines"].items():
        exits = " / ".join(f"{share * 100:.0f}" for share in seen["exits"]) if len(seen["exits"]) > 1 else ""
        shown.add_row(
            line,
            exits,
            f"{seen['gmacs']:.3g}",
            _both(seen, lambda figures: f"{figures['images_per_second']:.0f}"),
            _both(seen, lambda figures: _milliseconds(figures, "mean")),
            _both(seen, lambda figures: _milliseconds(figures, "p99")),
            _both(seen, lambda figures: f"{figures['ratio']:.2f}") if seen["against"] else "",
            f"{seen['gmacs_ratio']:.2f}" if seen["against"] else "",
            _both(seen, lambda figures: f"{figures['share_of_flops'] * 100:.1f}"),
            _both(seen, lambda figures: f"{figures['share_of_bytes'] * 100:.1f}"),
            _both(seen, lambda figures: str(figures["wrong"])),
        )
    return shown


def _both(seen: Result, text: Callable[[Result], str]) -> str:
    return " / ".join(text(seen[mode]) for mode in COLOURS if mode in seen)


def _milliseconds(figures: Result, q: str) -> str:
    return f"{figures['latency_ms'][q]:.2f}" if figures["latency_ms"] else "–"


def plot(path: Path, title: str, studies: Mapping[str, Result]) -> None:
    """Draw a row a study: what it is about, and how many times faster than the backbone that it stands for."""
    import matplotlib as mpl  # noqa: PLC0415 (a GPU machine may have none)

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 (likewise)

    heights = [1.2 + HEIGHT_OF_LINE * len(study["lines"]) for study in studies.values()]
    figure, rows = plt.subplots(
        len(studies), 2, figsize=(13, sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    figure.suptitle(title)
    for (name, study), (left, right) in zip(studies.items(), rows, strict=True):
        _draw_speeds(left, name, study)
        _draw_ratios(right, study)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _draw_speeds(axes: Axes, name: str, study: Result) -> None:
    is_latency = study["metric"] == LATENCY
    lines = list(study["lines"].items())
    for offset, mode in ((-0.2, "in_process"), (0.2, "served")):
        places = [place for place, (_, seen) in enumerate(lines) if mode in seen]
        values = [_speed(lines[place][1][mode], is_latency) for place in places]
        bars = axes.barh([place + offset for place in places], values, 0.38, color=COLOURS[mode], label=_label(mode))
        axes.bar_label(bars, fmt=_short, padding=3, fontsize=8)
    axes.set_yticks(range(len(lines)), [line for line, _ in lines])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    of = f"{study['clients']} client{'s' * (study['clients'] > 1)}, batch {study['batch']}"
    axes.set(title=f"{name}: {of}", xlabel="mean ms of a request" if is_latency else "images a second")
    axes.legend(fontsize=8)


def _draw_ratios(axes: Axes, study: Result) -> None:
    lines = [(line, seen) for line, seen in study["lines"].items() if seen["against"]]
    for offset, mode in ((-0.2, "in_process"), (0.2, "served")):
        places = [place for place, (_, seen) in enumerate(lines) if mode in seen]
        values = [lines[place][1][mode]["ratio"] for place in places]
        bars = axes.barh([place + offset for place in places], values, 0.38, color=COLOURS[mode])
        axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    expected = [seen["gmacs_ratio"] for _, seen in lines]
    axes.plot(expected, range(len(lines)), "D", color="black", label="by multiply-accumulates")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(lines)), [f"{line}\nagainst {seen['against']}" for line, seen in lines], fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(title="times faster, within each round", xlabel="times")
    axes.legend(fontsize=8)


def _speed(seen: Result, is_latency: bool) -> float:
    return float(seen["latency_ms"]["mean"] if is_latency else seen["images_per_second"])


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= WHOLE else f"{value:.3g}"


def _label(mode: str) -> str:
    return {"in_process": "in process", "served": "served"}[mode]
