"""Whether a plan fits the TensorRT and the GPU that are to serve it."""

from __future__ import annotations

from pathlib import Path

from build_engines.doctor.environment import Environment
from build_engines.doctor.finding import Finding
from build_engines.plans.record import Device, PlanRecord

REBUILD = "make engines, then build-engines repository --runtime tensorrt"
TRUST = "--backend-config=tensorrt,version-compatible=true"
AMPERE = (8, 0)


def inspect_plan(subject: str, file: Path, newest: str, max_batch_size: int, environment: Environment) -> Finding:
    """Inspect an entry's plan by its record.

    Args:
        subject: The entry, as findings name it.
        file: The record.
        newest: SHA-256 of the current ONNX file; empty if unknown.
        max_batch_size: Of the entry.
        environment: Where it is to be served.
    """
    record = PlanRecord.read(file)
    if record is None:
        return Finding(subject, f"its plan has no readable {file.name}: what it was built with is unknown", REBUILD)
    if newest and record.onnx_sha256 != newest:
        return Finding(subject, "its plan is older than its ONNX file", REBUILD)
    if record.options.batch[-1] < max_batch_size:
        found = f"its plan takes batches of {record.options.batch[-1]}, config.pbtxt says {max_batch_size}"
        return Finding(subject, found, REBUILD)
    return _inspect_fit(subject, record, environment)


def _inspect_fit(subject: str, record: PlanRecord, environment: Environment) -> Finding:
    if environment.tensorrt and not _loads_in(record, environment.tensorrt):
        found = f"its plan was built by TensorRT {record.tensorrt}, the server has {environment.tensorrt}"
        return Finding(subject, found, f"{REBUILD}; or serve it in the image that built it")
    if environment.device and not _loads_on(record, environment.device):
        here = f"{environment.device.gpu} ({environment.device.compute_capability})"
        found = f"its plan was built for {record.device.gpu} ({record.device.compute_capability}), this GPU is {here}"
        return Finding(subject, found, f"{REBUILD}, on this GPU")
    notes = [f"a plan by TensorRT {record.tensorrt} for {record.device.gpu}"]
    notes += [] if record.check else ["it was not compared with ONNX Runtime"]
    notes += [f"Triton needs {TRUST}"] if record.options.version_compatible else []
    return Finding(subject, "; ".join(notes))


def _loads_in(record: PlanRecord, tensorrt: str) -> bool:
    built, here = _numbers(record.tensorrt), _numbers(tensorrt)
    parts = min(len(built), len(here))  # 10.13.3 stands for every 10.13.3.x
    built, here = built[:parts], here[:parts]
    if not record.options.version_compatible:
        return built == here
    return built[:1] == here[:1] and built <= here


def _loads_on(record: PlanRecord, device: Device) -> bool:
    compatibility, capability = record.options.hardware_compatibility, device.compute_capability
    if compatibility == "ampere_plus":
        return _numbers(capability) >= AMPERE
    same_capability = record.device.compute_capability == capability
    return same_capability and (compatibility != "none" or record.device.gpu == device.gpu)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
