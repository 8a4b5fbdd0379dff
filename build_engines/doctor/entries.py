"""Whether each backbone's entry is intact and up to date, and can be served in the environment."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from build_engines.doctor.environment import Environment, backend_of
from build_engines.doctor.finding import Finding
from build_engines.doctor.plan_fit import REBUILD, inspect_plan
from build_engines.pool.artifacts import PoolBuild
from build_engines.repository.entry import MADE_FROM, SHA256, VERSION
from build_engines.support.atomic_files import sha256
from cascade_core.spec import is_backbone_entry

BACKENDS = ("onnxruntime", "python", "tensorrt")
PLAN_RECORD = "plan.json"
REWRITE = "rerun build-engines repository"
LIBRARIES = {"model.onnx": "ONNX Runtime", "model.pt2": "PyTorch"}  # of Python models, by the file that they load
NO_LIBRARY = (
    "write it with build-engines repository --runtime tensorrt (or onnxruntime); remove it if it is of another pool"
)


def read_entries(repository: Path) -> tuple[dict[str, ModelConfig], list[Finding]]:
    """Return the configurations of the backbones by name, and findings about those that cannot be read."""
    entries, findings = {}, []
    for path in sorted(repository.glob("*/config.pbtxt")):
        name = path.parent.name
        if name.startswith(".") or not is_backbone_entry(path.parent):
            continue
        try:
            entries[name] = text_format.Parse(path.read_text(), ModelConfig())
        except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
            findings.append(Finding(f"entry {name}", f"{path} cannot be read: {error}", "run build-engines repository"))
    return entries, findings


def inspect_hidden_folders(repository: Path) -> list[Finding]:
    """Report folders that an interrupted command or another program left: Triton takes every folder for a model."""
    found, advice = "is not a model, but Triton loads every folder and fails", f"remove it, or {REWRITE}"
    return [Finding(f"folder {path.name}", found, advice) for path in sorted(repository.glob(".*/"))]


def inspect_entry(folder: Path, config: ModelConfig, build: PoolBuild | None, environment: Environment) -> Finding:
    """Inspect one entry; given the pool's build, also whether it was made from the current ONNX file."""
    subject, backend = f"entry {folder.name}", backend_of(config)
    if unserved := _inspect_backend(subject, config, environment):
        return unserved
    if config.name not in ("", folder.name):
        return Finding(subject, f"is named {config.name} in its config.pbtxt: Triton rejects it", REWRITE)
    advice = REBUILD if backend == "tensorrt" else REWRITE
    if damage := _damage(folder / VERSION, config):
        return Finding(subject, damage, advice)
    source = config.parameters[MADE_FROM].string_value if MADE_FROM in config.parameters else ""
    onnx = build.onnx_folder / f"{folder.name}.onnx" if build else None  # also of a backbone that has left the pool
    newest = sha256(onnx) if onnx and onnx.is_file() else source
    if backend == "tensorrt":
        return inspect_plan(subject, folder / VERSION / PLAN_RECORD, newest, config.max_batch_size, environment)
    if source != newest:
        return Finding(subject, f"was not made from the current {onnx}", REWRITE)
    return Finding(subject, f"intact, for Triton's {backend} backend")


def _inspect_backend(subject: str, config: ModelConfig, environment: Environment) -> Finding | None:
    backend = backend_of(config)
    if backend not in BACKENDS:
        found = f"is for the backend {backend or 'without a name'}, not one of {', '.join(BACKENDS)}"
        return Finding(subject, found, "write it with build-engines repository, or choose a cascade without it")
    library = next((library for file, library in LIBRARIES.items() if file + SHA256 in config.parameters), "")
    if environment.is_nvidias_container and backend == "python" and library:
        return Finding(subject, f"needs {library}, which the Python in NVIDIA's container lacks", NO_LIBRARY)
    return None


def _damage(version: Path, config: ModelConfig) -> str:
    """Return which file of an entry is missing or has changed; an empty text if none."""
    names = [key.removesuffix(SHA256) for key in config.parameters if key.endswith(SHA256) and key != MADE_FROM]
    if not names:
        return "does not list its files: it was not written by build-engines repository, or by an older version"
    for name in sorted(names):
        if not (version / name).is_file():
            return f"has no {name}"
        if sha256(version / name) != config.parameters[name + SHA256].string_value:
            return f"its {name} has changed since it was written"
    return ""
