"""Whether each backbone's entry is whole, up to date, and its plan fits this TensorRT and this GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from build_engines.doctor.finding import Finding
from build_engines.plans.record import Device, PlanRecord
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import SERVED_NAMES
from build_engines.repository.entry import MADE_FROM, SHA256, VERSION
from build_engines.support.atomic_files import sha256

BACKENDS = ("onnxruntime", "python", "tensorrt")
PLAN, SIDE_FILE = "model.plan", "plan.json"
REWRITE = "run build-engines repository again"
REBUILD = "make engines, then build-engines repository --runtime tensorrt"
TRUST = "--backend-config=tensorrt,version-compatible=true"
NVIDIAS = ("onnxruntime", "tensorrt")  # backends that only NVIDIA's container has
LIBRARIES = {"model.onnx": "ONNX Runtime", "model.pt2": "PyTorch"}  # of Python models, by the file that they load
NO_LIBRARY = (
    "write it with build-engines repository --runtime tensorrt (or onnxruntime); remove it if it is of another pool"
)
AMPERE = (8, 0)


@dataclass(frozen=True)
class Place:
    """Hold what is known of where entries are to be served; None is unknown and not held against a plan.

    Attributes:
        tensorrt: Its version.
        device: The GPU.
        is_nvidias_container: Whether it is NVIDIA's container, whose Python has neither ONNX Runtime nor PyTorch.
    """

    tensorrt: str | None
    device: Device | None
    is_nvidias_container: bool = False

    def serving(self, entries: Mapping[str, ModelConfig]) -> Place:
        """Return this place as these entries need it: some backends only NVIDIA's container has."""
        needed = any(_backend(config) in NVIDIAS for config in entries.values())
        return replace(self, is_nvidias_container=self.is_nvidias_container or needed)


def read_entries(repository: Path) -> tuple[dict[str, ModelConfig], list[Finding]]:
    """Return the backbones' configurations by name, and what cannot be read."""
    entries, findings = {}, []
    for path in sorted(repository.glob("*/config.pbtxt")):
        name = path.parent.name
        if name in SERVED_NAMES or name.startswith("."):
            continue
        try:
            entries[name] = text_format.Parse(path.read_text(), ModelConfig())
        except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
            findings.append(Finding(f"entry {name}", f"{path} cannot be read: {error}", "run build-engines repository"))
    return entries, findings


def look_at_hidden_folders(repository: Path) -> list[Finding]:
    """Name what an interrupted command left, or another program: to Triton every folder is a model."""
    found, advice = "is no model, but Triton loads every folder and fails at it", f"remove it, or {REWRITE}"
    return [Finding(f"folder {path.name}", found, advice) for path in sorted(repository.glob(".*/"))]


def look_at_place(entries: Mapping[str, ModelConfig], place: Place) -> list[Finding]:
    """Say what plans are held against, if there are plans."""
    if not any(_backend(config) == "tensorrt" for config in entries.values()):
        return []
    tensorrt = f"TensorRT {place.tensorrt}" if place.tensorrt else "no TensorRT (name the server's with --tensorrt)"
    device = place.device
    gpu = f"{device.gpu} ({device.compute_capability}), driver {device.driver}" if device else "no GPU"
    unknown = "" if place.tensorrt and device else ": whether plans fit what is not here, nobody can tell"
    return [Finding("this machine", f"{tensorrt}, {gpu}{unknown}")]


def look_at_entry(folder: Path, config: ModelConfig, build: PoolBuild | None, place: Place) -> Finding:
    """Say how one entry stands; with the pool's build also whether it is of the ONNX file there."""
    subject, backend = f"entry {folder.name}", _backend(config)
    if unserved := _look_at_backend(subject, config, place):
        return unserved
    if config.name not in ("", folder.name):
        return Finding(subject, f"is called {config.name} in its config.pbtxt: Triton refuses it", REWRITE)
    advice = REBUILD if backend == "tensorrt" else REWRITE
    if damage := _damage(folder / VERSION, config):
        return Finding(subject, damage, advice)
    source = config.parameters[MADE_FROM].string_value if MADE_FROM in config.parameters else ""
    onnx = build[folder.name].onnx if build and folder.name in build else None
    newest = sha256(onnx) if onnx and onnx.is_file() else source
    if backend == "tensorrt":
        return _look_at_plan(subject, folder / VERSION / SIDE_FILE, newest, config.max_batch_size, place)
    if source != newest:
        return Finding(subject, f"is of another export than {onnx}", REWRITE)
    return Finding(subject, f"whole, for Triton's {backend} backend")


def _backend(config: ModelConfig) -> str:
    return str(config.backend or config.platform)


def _look_at_backend(subject: str, config: ModelConfig, place: Place) -> Finding | None:
    backend = _backend(config)
    if backend not in BACKENDS:
        found = f"is for the backend {backend or 'of no name'}, none of {', '.join(BACKENDS)}"
        return Finding(subject, found, "write it with build-engines repository, or choose a cascade without it")
    library = next((library for file, library in LIBRARIES.items() if file + SHA256 in config.parameters), "")
    if place.is_nvidias_container and backend == "python" and library:
        return Finding(subject, f"needs {library}, which the Python in NVIDIA's container lacks", NO_LIBRARY)
    return None


def _damage(version: Path, config: ModelConfig) -> str:
    """Say which file of an entry is missing or not as it was written; nothing if all are well."""
    names = [key.removesuffix(SHA256) for key in config.parameters if key.endswith(SHA256) and key != MADE_FROM]
    if not names:
        return "does not name its files: it is not of build-engines repository, or of an older one"
    for name in sorted(names):
        if not (version / name).is_file():
            return f"has no {name}"
        if sha256(version / name) != config.parameters[name + SHA256].string_value:
            return f"its {name} is not as it was written"
    return ""


def _look_at_plan(subject: str, side_file: Path, newest: str, max_batch_size: int, place: Place) -> Finding:
    record = PlanRecord.read(side_file)
    if record is None:
        return Finding(subject, f"its plan has no readable {SIDE_FILE}: nobody knows what it was built with", REBUILD)
    if newest and record.onnx_sha256 != newest:
        return Finding(subject, "its plan is older than its ONNX file", REBUILD)
    if record.options.batch[-1] < max_batch_size:
        found = f"its plan takes batches of {record.options.batch[-1]}, config.pbtxt says {max_batch_size}"
        return Finding(subject, found, REBUILD)
    return _look_at_fit(subject, record, place)


def _look_at_fit(subject: str, record: PlanRecord, place: Place) -> Finding:
    if place.tensorrt and not _loads_in(record, place.tensorrt):
        found = f"its plan is of TensorRT {record.tensorrt}, here is {place.tensorrt}"
        return Finding(subject, found, f"{REBUILD}; or serve it in the image that built it")
    if place.device and not _loads_on(record, place.device):
        here = f"{place.device.gpu} ({place.device.compute_capability})"
        found = f"its plan is for {record.device.gpu} ({record.device.compute_capability}), here is {here}"
        return Finding(subject, found, f"{REBUILD}, on this GPU")
    notes = [f"plan of TensorRT {record.tensorrt} for {record.device.gpu}"]
    notes += [] if record.check else ["it was not compared with ONNX Runtime"]
    notes += [f"Triton needs {TRUST}"] if record.options.version_compatible else []
    return Finding(subject, "; ".join(notes))


def _loads_in(record: PlanRecord, tensorrt: str) -> bool:
    built, here = _numbers(record.tensorrt), _numbers(tensorrt)
    parts = min(len(built), len(here))  # 10.13.3 is every 10.13.3.x
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
