"""The entries that let a served cascade take encoded images: `decode`, and the ensemble of it and the cascade."""

from __future__ import annotations

from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelEnsembling, ModelInput, ModelInstanceGroup, ModelOutput

from build_engines.images import canvas
from build_engines.repository.entry import WrittenEntry, remove_entry, write_entry
from build_engines.support.atomic_files import fingerprint
from cascade_serving import cores

DECODE, ENCODED = "decode", "cascade_encoded"
MAX_PIXELS = 40_000_000
MAX_BATCH_SIZE = 1024  # the cascade's own limit is lower
CODE = (
    Path(__file__).with_name("model.py"),
    Path(canvas.__file__),
    Path(cores.__file__),
)
OUTPUTS = {
    "class_id": ("TYPE_INT32", 1),
    "confidence": ("TYPE_FP32", 1),
    "exit_stage": ("TYPE_INT32", 1),
    "label": ("TYPE_STRING", 1),
    "probabilities": ("TYPE_FP32", -1),
    "stage_confidence": ("TYPE_FP32", -1),
    "degraded": ("TYPE_BOOL", 1),
}


def decode_config(canvas: int, max_pixels: int) -> ModelConfig:
    """Return the configuration of `decode`: BYTES [1] to UINT8 [S, S, 3].

    Args:
        canvas: Side S of the canvas, in pixels.
        max_pixels: Larger images are rejected before they are decoded: a small file can unpack to gigabytes.
    """
    config = ModelConfig(name=DECODE, backend="python", max_batch_size=MAX_BATCH_SIZE)
    config.input.append(ModelInput(name="encoded", data_type="TYPE_STRING", dims=[1]))
    config.output.append(ModelOutput(name="image", data_type="TYPE_UINT8", dims=[canvas, canvas, 3]))
    config.dynamic_batching.SetInParent()
    config.instance_group.add(kind=ModelInstanceGroup.KIND_CPU, count=1)
    config.parameters["max_pixels"].string_value = str(max_pixels)
    config.parameters["code_sha256"].string_value = fingerprint(*(path.read_text() for path in CODE))
    return config


def ensemble_config() -> ModelConfig:
    """Return the configuration of `cascade_encoded`, which is valid for every cascade.json.

    The batch is written as an additional axis, and the numbers of classes and stages are left dynamic, so that a
    cascade can be replaced by one with other stages or another largest batch without changing the ensemble.
    """
    config = ModelConfig(name=ENCODED, platform="ensemble")
    config.input.append(ModelInput(name="encoded", data_type="TYPE_STRING", dims=[-1, 1]))
    for name, (data_type, extent) in OUTPUTS.items():
        config.output.append(ModelOutput(name=name, data_type=data_type, dims=[-1, extent]))
    step = ModelEnsembling.Step
    decode = step(model_name=DECODE, model_version=-1, input_map={"encoded": "encoded"}, output_map={"image": "image"})
    names = {name: name for name in OUTPUTS}
    cascade = step(model_name="cascade", model_version=-1, input_map={"image": "image"}, output_map=names)
    config.ensemble_scheduling.step.extend([decode, cascade])
    return config


def write_encoded(canvas: int, repository: Path, max_pixels: int = MAX_PIXELS) -> list[WrittenEntry]:
    """Write the entries that let the cascade take encoded images: `decode`, then the ensemble."""
    return [
        write_entry(repository, decode_config(canvas, max_pixels), {path.name: path for path in CODE}),
        write_entry(repository, ensemble_config(), {}),
    ]


def remove_encoded(repository: Path) -> None:
    """Remove the entries that let the cascade take encoded images, the ensemble first."""
    for name in (ENCODED, DECODE):
        remove_entry(repository, name)
