"""Where things built of a pool lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from build_engines.pool.schema import Pool


@dataclass(frozen=True)
class Workspace:
    """Name the files that are built of one pool, all below `build/<pool>/`."""

    folder: Path

    @classmethod
    def of(cls, pool: Pool, build: Path) -> Workspace:
        """Return the workspace of a pool below the build folder."""
        return cls(build / pool.name)

    def onnx(self, backbone: str) -> Path:
        """Name a backbone's ONNX file."""
        return self.folder / "onnx" / f"{backbone}.onnx"

    def export_record(self, backbone: str) -> Path:
        """Name what is known of a backbone's ONNX file."""
        return self.folder / "onnx" / f"{backbone}.json"

    def plan(self, backbone: str) -> Path:
        """Name a backbone's TensorRT plan."""
        return self.folder / "plans" / f"{backbone}.plan"

    def plan_record(self, backbone: str) -> Path:
        """Name what is known of a backbone's TensorRT plan."""
        return self.folder / "plans" / f"{backbone}.json"

    def timing_cache(self, tensorrt: str, device: str) -> Path:
        """Name what TensorRT has measured of its kernels; it holds for one version and one kind of GPU."""
        return self.folder / "plans" / f"timing-{tensorrt}-{device}.cache"

    def program(self, backbone: str) -> Path:
        """Name a backbone's exported PyTorch program."""
        return self.folder / "programs" / f"{backbone}.pt2"

    def program_record(self, backbone: str) -> Path:
        """Name what is known of a backbone's exported PyTorch program."""
        return self.folder / "programs" / f"{backbone}.json"

    def predictions(self, split: str) -> Path:
        """Name the folder of the predictions on a split of the images."""
        return self.folder / "predictions" / split

    @property
    def imported(self) -> Path:
        """Name the folder of predictions that were imported rather than collected."""
        return self.folder / "imported"

    @property
    def holds_build(self) -> bool:
        """Tell whether backbones were exported here, or predictions collected."""
        return any((self.folder / part).exists() for part in ("onnx", "predictions"))

    @property
    def frontier(self) -> Path:
        """Name what the search found."""
        return self.folder / "frontier.json"

    @property
    def throughput(self) -> Path:
        """Name the measured speeds."""
        return self.folder / "throughput.json"

    @property
    def measured_costs(self) -> Path:
        """Name the measured milliseconds of an image in each backbone."""
        return self.folder / "costs_ms.json"

    def costs_at(self, batch: int) -> Path:
        """Name the measured milliseconds of an image in each backbone, in requests of so many."""
        return self.folder / f"costs_ms_batch_{batch}.json"

    @property
    def report(self) -> Path:
        """Name the folder of the report."""
        return self.folder / "report"
