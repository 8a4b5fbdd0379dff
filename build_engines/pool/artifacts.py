"""A pool and the files that are built from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from build_engines.errors import BuildError
from build_engines.pool.manifest import ExportManifest, source_fingerprint
from build_engines.pool.schema import Backbone, Pool, load_pool
from build_engines.support.atomic_files import sha256
from cascade_core.contract import CASCADE_FILE

BUILD_ROOT = Path("build")


@dataclass(frozen=True)
class PoolBuild:
    """A pool, and the folder of everything that is built from it; by name, its backbones with their files.

    Attributes:
        pool: The pool.
        folder: `ROOT/POOL`, which need not exist yet.
    """

    pool: Pool
    folder: Path

    @classmethod
    def of(cls, pool: Pool, root: Path = BUILD_ROOT) -> Self:
        """Return the build of a pool below the root of all builds."""
        return cls(pool, root / pool.name)

    @classmethod
    def open(cls, pool_file: Path, root: Path = BUILD_ROOT) -> Self:
        """Read a pool file and return the pool's build.

        Raises:
            PoolError: the file is missing, is not YAML, or breaks a rule of the format.
        """
        return cls.of(load_pool(pool_file), root)

    def __getitem__(self, name: str) -> BackboneBuild:
        """Return a backbone with its files; raises PoolError where the pool has none of this name."""
        return BackboneBuild(self, self.pool.backbone(name))

    def __iter__(self) -> Iterator[BackboneBuild]:
        """Iterate over the backbones in the pool's order."""
        return (BackboneBuild(self, backbone) for backbone in self.pool.backbones)

    def __contains__(self, name: object) -> bool:
        """Whether the pool has a backbone of this name."""
        return any(backbone.name == name for backbone in self.pool.backbones)

    def __len__(self) -> int:
        """Count the backbones."""
        return len(self.pool.backbones)

    @property
    def onnx_folder(self) -> Path:
        """The folder of the ONNX files and their manifests."""
        return self.folder / "onnx"

    @property
    def plan_folder(self) -> Path:
        """The folder of the TensorRT plans and their records."""
        return self.folder / "plans"

    def timing_cache(self, tensorrt: str, device: str) -> Path:
        """Return the file of TensorRT's kernel timings, valid for one version and one kind of GPU."""
        return self.plan_folder / f"timing-{tensorrt}-{device}.cache"

    def predictions(self, split: str) -> Path:
        """Return the folder of the predictions on a split of the images."""
        return self.folder / "predictions" / split

    @property
    def imported(self) -> Path:
        """The folder of predictions that were imported rather than collected."""
        return self.folder / "imported"

    @property
    def frontier(self) -> Path:
        """The result of the last search."""
        return self.folder / "frontier.json"

    @property
    def throughput(self) -> Path:
        """The measured images per second."""
        return self.folder / "throughput.json"

    @property
    def measured_costs(self) -> Path:
        """The measured milliseconds per image of each backbone."""
        return self.folder / "costs_ms.json"

    def costs_at(self, batch: int) -> Path:
        """Return the file of the measured milliseconds per image of each backbone, in requests of `batch` images."""
        return self.folder / f"costs_ms_batch_{batch}.json"

    @property
    def report(self) -> Path:
        """The folder of the report on the served cascade."""
        return self.folder / "report"

    def report_on(self, cascade: Path) -> Path:
        """Return the folder of the report on another cascade.json, by the file's name, or its folder's."""
        file = cascade.resolve()
        return self.folder / f"report-{file.parent.name if file.name == CASCADE_FILE else file.stem}"


@dataclass(frozen=True)
class BackboneBuild:
    """One backbone of a pool, and the files that are built from it.

    Attributes:
        build: The build of the whole pool.
        backbone: One of the pool's backbones.
    """

    build: PoolBuild
    backbone: Backbone

    @property
    def pool(self) -> Pool:
        """The pool."""
        return self.build.pool

    @property
    def name(self) -> str:
        """The backbone's name."""
        return self.backbone.name

    @property
    def onnx(self) -> Path:
        """The ONNX file."""
        return self.build.onnx_folder / f"{self.name}.onnx"

    @property
    def manifest_file(self) -> Path:
        """The ONNX file's manifest."""
        return self.build.onnx_folder / f"{self.name}.json"

    @property
    def plan(self) -> Path:
        """The TensorRT plan."""
        return self.build.plan_folder / f"{self.name}.plan"

    @property
    def plan_record_file(self) -> Path:
        """The TensorRT plan's record."""
        return self.build.plan_folder / f"{self.name}.json"

    @property
    def program(self) -> Path:
        """The exported PyTorch program."""
        return self.build.folder / "programs" / f"{self.name}.pt2"

    @property
    def program_record_file(self) -> Path:
        """The exported PyTorch program's record."""
        return self.build.folder / "programs" / f"{self.name}.json"

    def source_fingerprint(self) -> str:
        """Return a fingerprint of everything that the exported files depend on."""
        return source_fingerprint(self.pool, self.backbone)

    def manifest(self) -> ExportManifest | None:
        """Return the manifest of the ONNX file, or None if the file is missing, damaged or out of date."""
        manifest = ExportManifest.read(self.manifest_file)
        if manifest is None or manifest.made_of != self.source_fingerprint() or not self.onnx.is_file():
            return None
        return manifest if sha256(self.onnx) == manifest.onnx_sha256 else None

    def require_manifest(self) -> ExportManifest:
        """Return the manifest of the ONNX file.

        Raises:
            BuildError: the file is missing, damaged, or older than the pool file or the weights.
        """
        manifest = self.manifest()
        if manifest is None:
            raise BuildError(
                f"backbone {self.name!r} has no up-to-date {self.onnx}; run build-engines export on this pool"
            )
        return manifest


def holds_build(folder: Path) -> bool:
    """Return whether backbones were exported into a pool's folder, or predictions collected."""
    return any((folder / part).exists() for part in ("onnx", "predictions"))
