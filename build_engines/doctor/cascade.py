"""Whether cascade.json fits the entries beside it, and this machine's shared memory holds its images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig

from build_engines.doctor.finding import Finding
from cascade_spec import Cascade, SpecError, Stage, read_cascade

COPIES = 2  # of an image in shared memory at once: the caller's and a stage's
REPOSITORY_ADVICE = "run build-engines repository on the pool that the cascade was chosen from"


def look_at_cascade(repository: Path, entries: Mapping[str, ModelConfig], shared_memory_bytes: int) -> list[Finding]:
    """Say how cascade.json stands, stage by stage.

    Args:
        repository: The model repository.
        entries: Its other entries' configurations, by name.
        shared_memory_bytes: How much /dev/shm holds.
    """
    path = repository / "cascade" / "cascade.json"
    if not path.is_file():
        return [Finding("cascade.json", "is not there", "choose a cascade with build-cascade search")]
    try:
        cascade = read_cascade(path)
    except SpecError as error:
        return [Finding("cascade.json", str(error), "mend it, or choose again with build-cascade search")]
    stages = [_look_at_stage(cascade, stage, entries.get(stage.model)) for stage in cascade.stages]
    return [*stages, _look_at_shared_memory(cascade, shared_memory_bytes)]


def _look_at_stage(cascade: Cascade, stage: Stage, entry: ModelConfig | None) -> Finding:
    subject = f"stage {stage.model}"
    if entry is None:
        return Finding(subject, "has no entry in the repository", REPOSITORY_ADVICE)
    canvas, classes = list(entry.input[0].dims), list(entry.output[0].dims)
    if canvas != [cascade.canvas, cascade.canvas, 3]:
        return Finding(subject, f"takes {canvas}, the cascade's canvas is {cascade.canvas}", REPOSITORY_ADVICE)
    if classes != [len(cascade.labels)]:
        return Finding(subject, f"answers {classes}, the cascade has {len(cascade.labels)} labels", REPOSITORY_ADVICE)
    if stage.max_batch_size > entry.max_batch_size:
        found = f"takes batches of {entry.max_batch_size}, cascade.json says {stage.max_batch_size}"
        return Finding(subject, found, "lower the stage's max_batch_size in cascade.json")
    return Finding(subject, "fits its entry")


def _look_at_shared_memory(cascade: Cascade, shared_memory_bytes: int) -> Finding:
    needed = COPIES * cascade.serving.max_images_in_flight * cascade.canvas**2 * 3
    found = f"{shared_memory_bytes / 1e6:.0f} MB; images in flight may take {needed / 1e6:.0f} MB"
    if needed <= shared_memory_bytes:
        return Finding("shared memory", found)
    advice = f"start the container with --shm-size={needed // 1_000_000 + 64}m, or lower max_images_in_flight"
    return Finding("shared memory", found, advice)
