"""What is known of a TensorRT plan; kept beside it as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from build_engines.errors import PlanError
from build_engines.pool.artifacts import BackboneBuild
from build_engines.support.atomic_files import sha256

HardwareCompatibility = Literal["none", "ampere_plus", "same_compute_capability"]


class Device(BaseModel):
    """Name a GPU and its driver."""

    model_config = ConfigDict(frozen=True)

    gpu: str
    compute_capability: str
    driver: str


class PlanOptions(BaseModel):
    """Hold what a plan is built for.

    Attributes:
        batch: The least, the usual and the largest batch: the plan is fastest at the usual one.
        workspace_mib: The most GPU memory that a layer may use beside its inputs and outputs.
        version_compatible: Whether later versions of the same TensorRT major may load it.
        hardware_compatibility: Which other GPUs may load it.
        tf32: Whether tensor cores may round FP32 to 10 bits of mantissa.
    """

    model_config = ConfigDict(frozen=True)

    batch: tuple[int, int, int]
    workspace_mib: int = 4096
    version_compatible: bool = False
    hardware_compatibility: HardwareCompatibility = "none"
    tf32: bool = False


class PlanCheck(BaseModel):
    """Compare a plan with ONNX Runtime."""

    model_config = ConfigDict(frozen=True)

    images: int
    largest_probability_difference: float
    class_agreement: float


class PlanRecord(BaseModel):
    """Say what a plan was built of, by what, for what and where.

    Attributes:
        check: How it agrees with ONNX Runtime; None where that could not be compared.
    """

    model_config = ConfigDict(frozen=True)

    onnx_sha256: str
    plan_sha256: str
    tensorrt: str
    device: Device
    options: PlanOptions
    seconds: float
    size_bytes: int
    check: PlanCheck | None = None

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the record in a file, or None if there is none that can be read."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError):
            return None

    @classmethod
    def of(cls, built: BackboneBuild) -> Self | None:
        """Return the record of a plan that is whole, or None."""
        record = cls.read(built.plan_record_file)
        return record if record and built.plan.is_file() and sha256(built.plan) == record.plan_sha256 else None

    def is_of(self, onnx_sha256: str, tensorrt: str, device: Device, options: PlanOptions) -> bool:
        """Tell whether building it again would change nothing."""
        mine = (self.onnx_sha256, self.tensorrt, self.device, self.options)
        return mine == (onnx_sha256, tensorrt, device, options)

    @classmethod
    def required(cls, built: BackboneBuild) -> Self:
        """Return the record of a whole plan of the ONNX file at hand.

        Raises:
            PlanError: the plan is missing, damaged or older than the ONNX file.
        """
        record = cls.of(built)
        advice = "run build-engines plan on this pool (make engines: in NVIDIA's container)"
        if record is None:
            raise PlanError(f"backbone {built.name!r} has no whole {built.plan}; {advice}")
        if record.onnx_sha256 != sha256(built.onnx):
            raise PlanError(f"{built.plan} is of an older ONNX file than {built.onnx}; {advice}")
        return record
