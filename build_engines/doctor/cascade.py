"""Whether cascade.json fits the other entries, and its images fit into shared memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from build_engines.doctor.environment import Environment
from build_engines.doctor.finding import Finding
from build_engines.repository.served_model import matches_runtime
from cascade_core.contract import CASCADE, CASCADE_ENCODED, CASCADE_FILE, DECODE
from cascade_core.spec import Cascade, SpecError, Stage, read_cascade

LATEST = -1
COPIES = 2  # of an image that are in shared memory at once: the caller's and a stage's
REPOSITORY_ADVICE = "run build-engines repository on the pool that the cascade was chosen from"
NO_ONNX_RUNTIME = "the Python in NVIDIA's container has no ONNX Runtime"
DECODE_ADVICE = "rerun build-engines repository: it resizes encoded images to the canvas of cascade.json"


def inspect_cascade(
    repository: Path, entries: Mapping[str, ModelConfig], environment: Environment, shared_memory_bytes: int
) -> list[Finding]:
    """Inspect cascade.json, stage by stage.

    Args:
        repository: The model repository.
        entries: Its other entries' configurations, by name.
        environment: Where it is to be served.
        shared_memory_bytes: The size of /dev/shm there.
    """
    path = repository / CASCADE / CASCADE_FILE
    if not path.is_file():
        return [Finding(CASCADE_FILE, "is missing", "choose a cascade with build-cascade search")]
    try:
        cascade = read_cascade(path)
    except SpecError as error:
        return [Finding(CASCADE_FILE, str(error), "fix it, or rerun build-cascade search")]
    if not (repository / CASCADE / "1" / "model.py").is_file():
        return [Finding(CASCADE, "has a cascade.json but no 1/model.py", REPOSITORY_ADVICE)]
    stages = [
        _inspect_stage(repository, cascade, stage, entries.get(stage.model), environment) for stage in cascade.stages
    ]
    return [
        *stages,
        *_inspect_decode(repository / DECODE, cascade),
        _inspect_shared_memory(cascade, shared_memory_bytes),
    ]


def _inspect_stage(
    repository: Path, cascade: Cascade, stage: Stage, entry: ModelConfig | None, environment: Environment
) -> Finding:
    subject = f"stage {stage.model}"
    if entry is None:
        return Finding(subject, "has no entry in the repository", REPOSITORY_ADVICE)
    if stage.version != LATEST and not (repository / stage.model / str(stage.version)).is_dir():
        return Finding(subject, f"has no version {stage.version}", "set its version to -1, the latest, in cascade.json")
    if cascade.serving.reach == "in_process":
        lacking = "" if _has_onnx(repository, stage) else "its entry has no model.onnx"
        if lacking or environment.is_nvidias_container:
            found = f"cannot run in process: {lacking or NO_ONNX_RUNTIME}"
            return Finding(subject, found, 'set "reach": "auto" in the "serving" of cascade.json')
    return _compare(subject, cascade, stage, entry)


def _compare(subject: str, cascade: Cascade, stage: Stage, entry: ModelConfig) -> Finding:
    canvas, classes = ([list(tensor.dims) for tensor in tensors] for tensors in (entry.input, entry.output))
    if canvas != [[cascade.canvas, cascade.canvas, 3]]:
        found = f"takes {_shapes(canvas)}, the cascade's canvas is {cascade.canvas}"
        return Finding(subject, found, REPOSITORY_ADVICE)
    if classes != [[len(cascade.labels)]]:
        found = f"returns {_shapes(classes)}, the cascade has {len(cascade.labels)} labels"
        return Finding(subject, found, REPOSITORY_ADVICE)
    if stage.max_batch_size > entry.max_batch_size:
        found = f"takes batches of {entry.max_batch_size}, cascade.json says {stage.max_batch_size}"
        return Finding(subject, found, "lower the stage's max_batch_size in cascade.json")
    return Finding(subject, f"fits its entry{_other_runtime(cascade, stage, entry)}")


def _other_runtime(cascade: Cascade, stage: Stage, entry: ModelConfig) -> str:
    predicted_by = cascade.evidence.get("predicted_by")
    runtime = predicted_by.get(stage.model) if isinstance(predicted_by, dict) else None
    if not isinstance(runtime, str) or matches_runtime(entry, runtime):
        return ""
    return f"; thresholds were chosen on {runtime}"


def _inspect_decode(folder: Path, cascade: Cascade) -> list[Finding]:
    if not folder.is_dir():
        return []
    try:
        config = text_format.Parse((folder / "config.pbtxt").read_text(), ModelConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        return [Finding(f"entry {DECODE}", f"its config.pbtxt cannot be read: {error}", DECODE_ADVICE)]
    given = [list(tensor.dims) for tensor in config.output]
    if given == [[cascade.canvas, cascade.canvas, 3]]:
        return [Finding(f"entry {DECODE}", "fits the cascade's canvas")]
    found = f"returns {_shapes(given)}, the cascade's canvas is {cascade.canvas}: Triton cannot load {CASCADE_ENCODED}"
    return [Finding(f"entry {DECODE}", found, DECODE_ADVICE)]


def _shapes(shapes: list[list[int]]) -> str:
    return " and ".join(str(shape) for shape in shapes) or "nothing"


def _has_onnx(repository: Path, stage: Stage) -> bool:
    version = "[1-9]*" if stage.version == LATEST else str(stage.version)
    return any((repository / stage.model).glob(f"{version}/model.onnx"))


def _inspect_shared_memory(cascade: Cascade, shared_memory_bytes: int) -> Finding:
    needed = COPIES * cascade.serving.max_images_in_flight * cascade.canvas**2 * 3
    found = f"{shared_memory_bytes / 1e6:.0f} MB; images in flight may take {needed / 1e6:.0f} MB"
    if needed <= shared_memory_bytes:
        return Finding("shared memory", found)
    advice = f"start the container with --shm-size={needed // 1_000_000 + 64}m, or lower max_images_in_flight"
    return Finding("shared memory", found, advice)
