"""What a measurement is to cover."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cascade_client.bench.perf_analyzer import Level


@dataclass(frozen=True)
class Plan:
    """Say what to measure.

    Attributes:
        url: host:port of Triton's gRPC service.
        cascade: The cascade's Triton model name.
        images: A folder that holds one folder of images a class.
        backbones: Single models to measure beside it; all that take its canvas if none is named.
        ensembles: Models that answer for several backbones at once, to measure too.
        concurrencies: Requests in flight at once, one level each.
        batches: Images in a request, one level each.
        rounds: How often everything is measured; medians are reported.
        window_s: A run of perf_analyzer takes three of these.
        mix: Share of the images that are to leave at each stage; as they come if None.
        most_images: The most images that top-1 is measured on.
        sent_images: How many different images the load is made of.
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
        """Return every pair of a batch and a concurrency."""
        return [Level(concurrency, batch) for batch in self.batches for concurrency in self.concurrencies]
