"""The plan of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cascade_client.bench.perf_analyzer import Level


@dataclass(frozen=True)
class Plan:
    """The models, images and load levels of a benchmark.

    Attributes:
        url: host:port of Triton's gRPC service.
        cascade: The cascade's Triton model name.
        images: A folder with one subfolder of images per class.
        backbones: Single models to compare with; all that take the same canvas if empty.
        ensembles: Models that run several backbones, to compare with.
        concurrencies: Numbers of concurrent requests.
        batches: Numbers of images per request.
        rounds: Number of interleaved rounds; medians are reported.
        window_s: Length of a measurement window; a run of perf_analyzer has three.
        mix: Share of the load that exits at each stage; that of the images themselves if None.
        most_images: Maximum number of images to measure top-1 on.
        sent_images: Number of images in the load.
    """

    url: str
    cascade: str
    images: Path
    backbones: tuple[str, ...] = ()
    ensembles: tuple[str, ...] = ()
    concurrencies: tuple[int, ...] = (1, 4, 16)
    batches: tuple[int, ...] = (1, 8)
    rounds: int = 3
    window_s: float = 1.0
    mix: tuple[float, ...] | None = None
    most_images: int = 2000
    sent_images: int = 256

    @property
    def levels(self) -> list[Level]:
        """Return the load levels: every pair of a batch size and a concurrency."""
        return [Level(concurrency, batch) for batch in self.batches for concurrency in self.concurrencies]
