"""The record of a TensorRT plan, kept beside it as JSON."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from build_engines.errors import PlanError
from build_engines.pool.artifacts import BackboneBuild
from build_engines.pool.schema import Backbone
from build_engines.support.atomic_files import sha256
from build_engines.support.record import Record

USUAL_BATCH = 8

HardwareCompatibility = Literal["none", "ampere_plus", "same_compute_capability"]


class Device(BaseModel):
    """A GPU and its driver."""

    model_config = ConfigDict(frozen=True)

    gpu: str
    compute_capability: str
    driver: str


class PlanSettings(BaseModel):
    """The build settings of all plans of a pool.

    Attributes:
        workspace_mib: The most GPU memory that a layer may use in addition to its inputs and outputs.
        version_compatible: Whether later versions of the same TensorRT major may load it.
        hardware_compatibility: Which other GPUs may load it.
        tf32: Whether tensor cores may round FP32 to 10 bits of mantissa.
    """

    model_config = ConfigDict(frozen=True)

    workspace_mib: int = 4096
    version_compatible: bool = False
    hardware_compatibility: HardwareCompatibility = "none"
    tf32: bool = False

    def options_for(self, backbone: Backbone) -> PlanOptions:
        """Return the build options of one backbone's plan."""
        usual = min(USUAL_BATCH, backbone.max_batch_size)
        return PlanOptions(batch=(1, usual, backbone.max_batch_size), **self.model_dump())


class PlanOptions(PlanSettings):
    """The build options of one plan.

    Attributes:
        batch: The smallest, the usual and the largest batch; the plan is fastest at the usual one.
    """

    batch: tuple[int, int, int]


class PlanAgreement(BaseModel):
    """The agreement of a plan with ONNX Runtime."""

    model_config = ConfigDict(frozen=True)

    images: int
    largest_probability_difference: float
    class_agreement: float


class PlanRecord(Record):
    """What a plan was built from and with, for which options, on which GPU.

    Attributes:
        check: Its agreement with ONNX Runtime; None where they could not be compared.
    """

    onnx_sha256: str
    plan_sha256: str
    tensorrt: str
    device: Device
    options: PlanOptions
    seconds: float
    size_bytes: int
    check: PlanAgreement | None = None

    @classmethod
    def of(cls, built: BackboneBuild) -> Self | None:
        """Return the record of an intact plan, or None."""
        record = cls.read(built.plan_record_file)
        return record if record and built.plan.is_file() and sha256(built.plan) == record.plan_sha256 else None

    def is_of(self, onnx_sha256: str, tensorrt: str, device: Device, options: PlanOptions) -> bool:
        """Whether building the plan again would change nothing."""
        mine = (self.onnx_sha256, self.tensorrt, self.device, self.options)
        return mine == (onnx_sha256, tensorrt, device, options)

    @classmethod
    def required(cls, built: BackboneBuild) -> Self:
        """Return the record of an intact plan of the current ONNX file.

        Raises:
            PlanError: the plan is missing, damaged or older than the ONNX file.
        """
        record = cls.of(built)
        advice = "run build-engines plan on this pool (make engines: in NVIDIA's container)"
        if record is None:
            raise PlanError(f"backbone {built.name!r} has no intact {built.plan}; {advice}")
        if record.onnx_sha256 != sha256(built.onnx):
            raise PlanError(f"{built.plan} was built from an older ONNX file than {built.onnx}; {advice}")
        return record
