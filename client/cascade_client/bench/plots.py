"""The plots: throughput against latency, and latency by exit stage. They need matplotlib, the extra `bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cascade_client.bench.result import Result
from cascade_client.errors import BenchError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 150
COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:purple", "tab:brown", "tab:pink", "tab:gray", "tab:olive")
PERCENTILES = np.linspace(0, 100, 201)


def check_can_plot() -> None:
    """Check that matplotlib is installed.

    Raises:
        BenchError: it is not.
    """
    try:
        import matplotlib.figure  # noqa: F401, PLC0415 (an optional extra)
    except ImportError as error:
        raise BenchError(
            "plots need matplotlib: install `triton-cascades-client[bench]`, or pass --no-plots"
        ) from error


def draw(result: Result, folder: Path) -> list[Path]:
    """Save throughput.png and exits.png; return their paths."""
    from matplotlib.figure import Figure  # noqa: PLC0415 (an optional extra)

    batches = result.plan.batches
    paths = []
    for name, draw_axes in (("throughput", _draw_throughput), ("exits", _draw_exits)):
        figure = Figure(figsize=(4.2 * len(batches) + 1.6, 4.2), layout="constrained")
        for axes, batch in zip(figure.subplots(1, len(batches), squeeze=False)[0], batches, strict=True):
            axes.set_prop_cycle(color=COLOURS)
            draw_axes(axes, result, batch)
            _tidy(axes)
        _legend(figure)
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=DOTS_PER_INCH)
        paths.append(path)
    return paths


def _draw_throughput(axes: Axes, result: Result, batch: int) -> None:
    for model in result.top1:
        lines = [line for line in result.lines() if (line.model, line.level.batch) == (model, batch)]
        ours = model == result.plan.cascade
        style = {"color": "tab:red", "linewidth": 2.5, "zorder": 3} if ours else {"linewidth": 1.2}
        x, y = ([getattr(line.measured, name) for line in lines] for name in ("p50_ms", "images_per_s"))
        axes.plot(x, y, marker="o", markersize=4, label=f"{model} ({result.top1[model]:.1%})", **style)
        for line, point in zip(lines, zip(x, y, strict=True), strict=True):
            axes.annotate(str(line.level.concurrency), point, xytext=(4, 4), textcoords="offset points", fontsize=7)
    axes.set(xlabel="request latency, p50 (ms); labels: concurrency", ylabel="images/s")
    axes.set_ylim(bottom=0)
    axes.set_title(f"batch {batch}", loc="left", fontsize=10)


def _draw_exits(axes: Axes, result: Result, batch: int) -> None:
    level = max((one for one in result.plan.levels if one.batch == batch), key=lambda one: one.concurrency)
    for stage, seen in result.latencies_ms(level).items():
        label = f"exit at stage {stage} ({result.exit_mix[stage - 1]:.0%} of the load)"
        axes.plot(np.percentile(seen, PERCENTILES), PERCENTILES, label=label)
    axes.set(xlabel="latency of a single image (ms)", ylabel="images answered (%)")
    axes.set_title(f"concurrency {level.concurrency}, batch {batch}", loc="left", fontsize=10)


def _tidy(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter  # noqa: PLC0415 (an optional extra)

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure) -> None:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
