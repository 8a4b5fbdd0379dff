"""Show what was measured: a table in the terminal, and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from rich.table import Table

mpl.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from build_cascade.report.labels import Label, Other, place_labels

SINGLE, CASCADE = "tab:gray", "tab:green"
STAR_PIXELS = 10
Study = dict[str, Any]


def table(title: str, study: Study) -> Table:
    """Return a study's rows; the last columns compare a cascade with the network that it stands in for."""
    shown = Table(title=f"{title}: {study['images']} test images", title_justify="left")
    for column in (
        "",
        "top-1 % (95%)",
        "GMACs",
        "images/s, 1",
        "images/s, 8",
        "× by MACs",
        "× served, 1",
        "× served, 8",
    ):
        shown.add_column(column, justify="left" if not column else "right")
    for row in study["rows"]:
        low, high = row["accuracy_interval_95"]
        compared = [f"{row['times_by_macs']:.2f}"] if "times_by_macs" in row else [""]
        compared += [_times(row, batch) for batch in ("1", "8")]
        shown.add_row(
            row["name"],
            f"{100 * row['accuracy']:.1f} ({100 * low:.1f}–{100 * high:.1f})",
            f"{row['mean_gmacs']:.3g}",
            *(f"{row['images_per_s'][batch]['images_per_s']:.1f}" for batch in ("1", "8")),
            *compared,
            style="bold" if "stages" in row else None,
        )
    return shown


def plot(path: Path, studies: dict[str, Study]) -> None:
    """Draw a row for each study: accuracy against served images per second, and against mean MACs."""
    figure, rows = plt.subplots(len(studies), 2, figsize=(12, 4.6 * len(studies)), layout="constrained", squeeze=False)
    for (title, study), (left, right) in zip(studies.items(), rows, strict=True):
        speeds = [row["images_per_s"]["8"]["images_per_s"] for row in study["rows"]]
        _draw(left, study, speeds, "images a second as served, batch 8")
        _draw(right, study, [row["mean_gmacs"] for row in study["rows"]], "mean GMACs of an image")
        left.set_title(f"{title}, {study['images']} test images")
    figure.savefig(path, dpi=120)


def _draw(axes: Axes, study: Study, values: list[float], label: str) -> None:
    names, stars = [], []
    for row, value in zip(study["rows"], values, strict=True):
        is_cascade, accuracy = "stages" in row, 100 * row["accuracy"]
        color, marker = (CASCADE, "*") if is_cascade else (SINGLE, "o")
        axes.plot([value, value], [100 * bound for bound in row["accuracy_interval_95"]], color=color, alpha=0.25)
        axes.plot(value, accuracy, marker, color=color, markersize=13 if is_cascade else 6)
        if is_cascade:
            stars.append(Other(value, accuracy, STAR_PIXELS))
        else:
            names.append(Label(row["name"], value, accuracy))
    for color, marker, name in ((SINGLE, "o", "single network"), (CASCADE, "*", "cascade")):
        axes.plot([], [], marker, color=color, label=name)
    axes.set(xscale="log", xlabel=label, ylabel="top-1 %, with 95 % intervals")
    axes.margins(x=0.1)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right" if "GMACs" in label else "lower left")
    place_labels(axes, names, stars, "black", "white")


def _times(row: dict[str, Any], batch: str) -> str:
    if "times_served" not in row:
        return ""
    times = row["times_served"][batch]
    return f"{times:.2f} ({times / row['times_by_macs']:.2f})"
