"""Count how often the export refuses a backbone for its preprocessing, by which images it looks at.

    python benchmarks/preprocessing_check.py --images FOLDER pools/mine.yaml --backbone NAME

The preprocessing of every backbone is compared with the one it asks for on all images, once as it is and once with each
kind of mistake. Random samples of them, of the size that the export uses, are then judged by the export's own check,
and by the floor of 98 % of equal classes that it had before.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from environment import write_result
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from build_engines.errors import CheckError
from build_engines.export.preprocessing import DataConfig, Preprocessing, ServedBackbone
from build_engines.export.preprocessing_parity import (
    LARGEST_PIXEL_TOLERANCE,
    MEAN_PIXEL_TOLERANCE,
    PreprocessingComparison,
    check_preprocessing,
    compare_preprocessing,
)
from build_engines.export.source import source_of
from build_engines.images.canvas import Canvas, to_canvas
from build_engines.images.image_files import EXTENSIONS
from build_engines.images.samples import COMPARISON_IMAGES
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.manifest import PreprocessingAgreement
from build_engines.pool.schema import Backbone, load_pool

FORMER_CLASS_FLOOR = 0.98
BATCH = 32
TIMM_MEANS = ((0.485, 0.456, 0.406), (0.5, 0.5, 0.5))  # the two that are mistaken for each other


class SwappedChannels(Preprocessing):
    """The preprocessing with the channels in the order BGR."""

    def forward(self, image: Tensor) -> Tensor:
        """Preprocess canvases whose channels are swapped."""
        return super().forward(image.flip(3))


@dataclass(frozen=True)
class Line:
    """The shares of the samples that refuse one backbone with one preprocessing.

    Attributes:
        class_agreement: Share of all images with the same class.
        clear_class_agreement: The same of those with a clear margin; None if no image has one.
        refused: By the export's check.
        refused_before: By the floor of equal classes and the same tolerances of pixels.
    """

    backbone: str
    preprocessing: str
    images: int
    class_agreement: float
    clear_class_agreement: float | None
    mean_pixel_difference: float
    mean_probability_difference: float
    refused: float
    refused_before: float


def variants(canvas: int, data: DataConfig) -> Iterator[tuple[str, Preprocessing]]:
    """Yield the right preprocessing and the wrong ones; none that makes no difference at this input size."""
    right = Preprocessing(canvas, data)
    mean = max(TIMM_MEANS, key=lambda mean: abs(mean[2] - data.mean[2]))
    interpolation = "bicubic" if data.interpolation == "bilinear" else "bilinear"
    yield "right", right
    yield "wrong mean", Preprocessing(canvas, replace(data, mean=mean))
    first, second, third = (1.02 * value for value in data.std)
    yield "std off by 2 %", Preprocessing(canvas, replace(data, std=(first, second, third)))
    yield "no crop" if data.crop_pct < 1 else "crop", _cropped(canvas, data)
    yield "BGR", SwappedChannels(canvas, data)
    other = Preprocessing(canvas, replace(data, interpolation=interpolation))
    if not torch.equal(other.get_buffer("matrix"), right.get_buffer("matrix")):
        yield interpolation, other


def _cropped(canvas: int, data: DataConfig) -> Preprocessing:
    return Preprocessing(canvas, replace(data, crop_pct=1.0 if data.crop_pct < 1 else 0.875))


def compare(served: ServedBackbone, data: DataConfig, images: Canvas) -> PreprocessingComparison:
    """Compare on all images, in batches."""
    parts = [
        compare_preprocessing(served, data, images[start : start + BATCH]) for start in range(0, len(images), BATCH)
    ]
    return PreprocessingComparison(
        **{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])}
    )


def judge(backbone: Backbone, name: str, seen: PreprocessingComparison, samples: int) -> Line:
    """Judge random samples of the images."""
    generator = np.random.default_rng(0)
    size = min(COMPARISON_IMAGES, len(seen.margin))
    drawn = [
        seen.rows(generator.choice(len(seen.margin), size, replace=False)).agreement()
        for _ in track(range(samples), f"{backbone.name}, {name}")
    ]
    overall = seen.agreement()
    clear = overall.clear_same_class / overall.clear_images if overall.clear_images else None
    return Line(
        backbone=backbone.name,
        preprocessing=name,
        images=overall.images,
        class_agreement=overall.class_agreement,
        clear_class_agreement=clear,
        mean_pixel_difference=overall.mean_pixel_difference,
        mean_probability_difference=overall.mean_probability_difference,
        refused=float(np.mean([_is_refused(backbone, one) for one in drawn])),
        refused_before=float(np.mean([_was_refused(one) for one in drawn])),
    )


def _is_refused(backbone: Backbone, seen: PreprocessingAgreement) -> bool:
    try:
        check_preprocessing(backbone, seen)
    except CheckError:
        return True
    return False


def _was_refused(seen: PreprocessingAgreement) -> bool:
    pixels = (
        seen.largest_pixel_difference > LARGEST_PIXEL_TOLERANCE or seen.mean_pixel_difference > MEAN_PIXEL_TOLERANCE
    )
    return pixels or seen.class_agreement < FORMER_CLASS_FLOOR


def show(lines: list[Line]) -> Table:
    """Return the lines as a table."""
    table = Table(
        "backbone", "preprocessing", "same class %", "clear ones %", "pixels", "probabilities", "refused %", "before %"
    )
    for line in lines:
        clear = line.clear_class_agreement
        table.add_row(
            line.backbone,
            line.preprocessing,
            f"{line.class_agreement:.2%}".rstrip("%"),
            "–" if clear is None else f"{clear:.2%}".rstrip("%"),
            f"{line.mean_pixel_difference:.2f}",
            f"{line.mean_probability_difference:.3f}",
            f"{line.refused:.2%}".rstrip("%"),
            f"{line.refused_before:.2%}".rstrip("%"),
        )
    return table


def main() -> None:
    """Compare, print the table, write the result."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("pool", type=Path)
    arguments.add_argument("--images", type=Path, required=True, help="a folder of images, at any depth")
    arguments.add_argument("--backbone", action="append", help="by default all; may be repeated")
    arguments.add_argument("--most-images", type=int, default=10_000)
    arguments.add_argument("--samples", type=int, default=10_000)
    options = arguments.parse_args()
    build = PoolBuild.of(load_pool(options.pool))
    paths = sorted(path for path in options.images.rglob("*") if path.suffix.lower() in EXTENSIONS)
    chosen = np.random.default_rng(0).permutation(len(paths))[: options.most_images]
    images = np.stack([to_canvas(paths[place], build.pool.canvas) for place in chosen])
    lines = []
    for name in options.backbone or [built.name for built in build]:
        source = source_of(build[name]).open()
        for title, preprocessing in variants(build.pool.canvas, source.data):
            seen = compare(ServedBackbone(preprocessing, source.served.backbone), source.data, images)
            lines.append(judge(build[name].backbone, title, seen, options.samples))
    console = Console(width=120)
    console.print(show(lines))
    result = {"samples": options.samples, "sample_images": COMPARISON_IMAGES, "lines": [asdict(line) for line in lines]}
    console.print(str(write_result("preprocessing", result, "timm")))


if __name__ == "__main__":
    main()
