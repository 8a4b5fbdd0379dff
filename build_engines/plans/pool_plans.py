"""Build the plan of every backbone of a pool."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from build_engines.errors import BuildError, PlanError
from build_engines.images.source import ImageSource
from build_engines.plans.compare import Comparison, comparison_obstacle
from build_engines.plans.device import find_device
from build_engines.plans.make import check_writable, make_plan
from build_engines.plans.record import Device, PlanRecord, PlanSettings
from build_engines.plans.tensorrt import load_tensorrt
from build_engines.plans.trtexec import trtexec_command
from build_engines.pool.artifacts import BackboneBuild, PoolBuild
from build_engines.pool.schema import Pool
from build_engines.support.progress import OnProgress, ignore_progress, tracked

MAX_COMPARED_IMAGES = 256


@dataclass(frozen=True)
class PlanResult:
    """The outcome for one backbone.

    Attributes:
        record: Of the plan; None if there is none.
        is_new: Whether the plan was built just now, rather than reused.
        error: Why there is no plan.
    """

    name: str
    record: PlanRecord | None = None
    is_new: bool = False
    error: BuildError | None = None


@dataclass(frozen=True)
class PlanBuilder:
    """The TensorRT and the GPU at hand: plans are built with and for them.

    Attributes:
        trt: TensorRT's Python module.
        device: The GPU.
        comparison_obstacle: Why plans cannot be compared with ONNX Runtime here, and what helps; None if they can.
    """

    trt: Any
    device: Device
    comparison_obstacle: str | None

    @classmethod
    def find(cls) -> Self:
        """Return the builder of this machine.

        Raises:
            PlanError: TensorRT or a GPU is missing.
        """
        device = find_device()  # first: TensorRT's own runtime crashes where there is no GPU
        return cls(load_tensorrt(), device, comparison_obstacle())

    def __str__(self) -> str:
        device = self.device
        return f"TensorRT {self.trt.__version__}, {device.gpu} ({device.compute_capability}), driver {device.driver}"

    def build_plans(
        self,
        build: PoolBuild,
        settings: PlanSettings,
        images: ImageSource | None = None,
        on_progress: OnProgress = ignore_progress,
    ) -> list[PlanResult]:
        """Build plan after plan; those that are up to date are reused, and one that fails does not stop the others.

        Args:
            build: Of a pool that was exported before.
            settings: For all plans.
            images: Images to compare with ONNX Runtime on; None for crops of two photographs.
            on_progress: Called for each backbone.

        Raises:
            PlanError: the folder of the plans cannot be written.
            ImageSourceError: none of the images can be used.
        """
        check_writable(build.plan_folder)
        comparison = self._comparison(build.pool, images)
        return [self._build(built, settings, comparison) for built in tracked(list(build), "building", on_progress)]

    def _build(self, built: BackboneBuild, settings: PlanSettings, comparison: Comparison | None) -> PlanResult:
        options = settings.options_for(built.backbone)
        check = partial(comparison.check, built.backbone, built.onnx, options) if comparison else None
        try:
            is_new = make_plan(self.trt, self.device, built, options, check)
        except BuildError as error:
            return PlanResult(built.name, error=error)
        return PlanResult(built.name, PlanRecord.required(built), is_new)

    def _comparison(self, pool: Pool, images: ImageSource | None) -> Comparison | None:
        if self.comparison_obstacle:
            return None
        from build_engines.images.samples import comparison_images  # noqa: PLC0415 (scikit-learn takes a second)

        return Comparison(self.trt, comparison_images(pool, images, MAX_COMPARED_IMAGES))


def check_results(results: Sequence[PlanResult]) -> None:
    """Check that there is a plan of every backbone.

    Raises:
        PlanError: there is not; the message has all the reasons.
    """
    if errors := [str(result.error) for result in results if result.error]:
        raise PlanError("\n".join(errors))


def trtexec_commands(build: PoolBuild, settings: PlanSettings) -> list[str]:
    """Return the shell commands that build the same plans with trtexec, which does not create the folder itself."""
    return [
        shlex.join(["mkdir", "-p", str(build.plan_folder)]),
        *(
            trtexec_command(built.onnx, built.plan, build.pool.canvas, settings.options_for(built.backbone))
            for built in build
        ),
    ]


def not_exported_note(build: PoolBuild) -> str:
    """Return a note of the backbones that have no ONNX file; empty if all have one."""
    missing = [built.name for built in build if not built.onnx.is_file()]
    return f"note: not exported yet: {', '.join(missing)}; run build-engines export first" if missing else ""
