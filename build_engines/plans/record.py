"""What is known of a TensorRT plan; kept beside it as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from build_engines.errors import PlanError
from build_engines.files import sha256
from build_engines.workspace import Workspace

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
    """

    model_config = ConfigDict(frozen=True)

    batch: tuple[int, int, int]
    workspace_mib: int = 4096
    version_compatible: bool = False
    hardware_compatibility: HardwareCompatibility = "none"


class PlanRecord(BaseModel):
    """Say what a plan was built of, by what, for what and where."""

    model_config = ConfigDict(frozen=True)

    onnx_sha256: str
    tensorrt: str
    device: Device
    options: PlanOptions
    seconds: float
    size_bytes: int

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the record in a file, or None if there is none that can be read."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError):
            return None

    @classmethod
    def of(cls, workspace: Workspace, backbone: str) -> Self | None:
        """Return the record of a plan that is whole, or None."""
        record, plan = cls.read(workspace.plan_record(backbone)), workspace.plan(backbone)
        return record if record and plan.is_file() and plan.stat().st_size == record.size_bytes else None

    @classmethod
    def required(cls, workspace: Workspace, backbone: str) -> Self:
        """Return the record of a whole plan of the ONNX file at hand.

        Raises:
            PlanError: the plan is missing, damaged or older than the ONNX file.
        """
        record, plan = cls.of(workspace, backbone), workspace.plan(backbone)
        advice = "run build-engines plan on this pool (make engines: in NVIDIA's container)"
        if record is None:
            raise PlanError(f"backbone {backbone!r} has no whole {plan}; {advice}")
        if record.onnx_sha256 != sha256(workspace.onnx(backbone)):
            raise PlanError(f"{plan} is of an older ONNX file than {workspace.onnx(backbone)}; {advice}")
        return record
