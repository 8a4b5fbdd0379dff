"""Whether each backbone's entry is whole, up to date, and its plan fits this TensorRT and this GPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from build_engines.doctor.finding import Finding
from build_engines.files import sha256
from build_engines.plans.record import Device, PlanRecord
from build_engines.workspace import Workspace

NOT_BACKBONES = frozenset({"cascade", "cascade_encoded", "decode"})
PLAN, ONNX, SIDE_FILE = "model.plan", "model.onnx", "plan.json"
REBUILD = "make engines, then build-engines repository --runtime tensorrt"
AMPERE = (8, 0)


@dataclass(frozen=True)
class Place:
    """Hold what is known of where plans are to be served; None is unknown and not held against a plan."""

    tensorrt: str | None
    device: Device | None


def read_entries(repository: Path) -> tuple[dict[str, ModelConfig], list[Finding]]:
    """Return the backbones' configurations by name, and what cannot be read."""
    entries, findings = {}, []
    for path in sorted(repository.glob("*/config.pbtxt")):
        name = path.parent.name
        if name in NOT_BACKBONES:
            continue
        try:
            entries[name] = text_format.Parse(path.read_text(), ModelConfig())
        except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
            findings.append(Finding(f"entry {name}", f"{path} cannot be read: {error}", "run build-engines repository"))
    return entries, findings


def look_at_entry(folder: Path, config: ModelConfig, workspace: Workspace | None, place: Place) -> Finding:
    """Say how one entry stands; with the pool's workspace also whether it is of the ONNX file there."""
    subject, runtime = f"entry {config.name}", config.backend or config.platform
    file = folder / "1" / (PLAN if runtime == "tensorrt" else ONNX)
    if not file.is_file():
        advice = REBUILD if file.name == PLAN else "run build-engines repository again"
        return Finding(subject, f"has no {file.name}", advice)
    source = config.parameters["onnx_sha256"].string_value if "onnx_sha256" in config.parameters else ""
    onnx = workspace.onnx(config.name) if workspace else None
    newest = sha256(onnx) if onnx and onnx.is_file() else source
    if file.name == PLAN:
        return _look_at_plan(subject, file, newest, place)
    if source != newest:
        return Finding(subject, f"is of another export than {onnx}", "run build-engines repository again")
    return Finding(subject, f"{runtime}, whole")


def _look_at_plan(subject: str, plan: Path, newest: str, place: Place) -> Finding:
    record = PlanRecord.read(plan.with_name(SIDE_FILE))
    if record is None:
        return Finding(subject, f"its plan has no readable {SIDE_FILE}: nobody knows what it was built with", REBUILD)
    if plan.stat().st_size != record.size_bytes:
        return Finding(subject, f"its plan has {plan.stat().st_size} bytes, not {record.size_bytes}", REBUILD)
    if newest and record.onnx_sha256 != newest:
        return Finding(subject, "its plan is older than its ONNX file", REBUILD)
    if place.tensorrt and not _loads_in(record, place.tensorrt):
        found = f"its plan is of TensorRT {record.tensorrt}, here is {place.tensorrt}"
        return Finding(subject, found, f"{REBUILD}; or serve it in the image that built it")
    if place.device and not _loads_on(record, place.device):
        here = f"{place.device.gpu} ({place.device.compute_capability})"
        found = f"its plan is for {record.device.gpu} ({record.device.compute_capability}), here is {here}"
        return Finding(subject, found, f"{REBUILD}, on this GPU")
    return Finding(subject, f"plan of TensorRT {record.tensorrt} for {record.device.gpu}")


def _loads_in(record: PlanRecord, tensorrt: str) -> bool:
    if not record.options.version_compatible:
        return record.tensorrt == tensorrt
    built, here = _numbers(record.tensorrt), _numbers(tensorrt)
    return built[0] == here[0] and built <= here


def _loads_on(record: PlanRecord, device: Device) -> bool:
    compatibility, capability = record.options.hardware_compatibility, device.compute_capability
    if compatibility == "ampere_plus":
        return _numbers(capability) >= AMPERE
    same_capability = record.device.compute_capability == capability
    return same_capability and (compatibility != "none" or record.device.gpu == device.gpu)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
