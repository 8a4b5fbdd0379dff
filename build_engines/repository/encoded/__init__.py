"""The entries that let a served cascade take encoded images: `decode`, and the ensemble of it and the cascade."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelEnsembling, ModelInput, ModelInstanceGroup, ModelOutput

from build_engines.images import canvas
from build_engines.repository.entry import WrittenEntry, remove_entry, write_entry
from build_engines.support.atomic_files import fingerprint
from cascade_core import contract
from cascade_core.contract import CASCADE, CASCADE_ENCODED, DECODE, ENCODED, IMAGE, OUTPUTS, VARIABLE, TensorSpec
from cascade_serving import cores

MAX_PIXELS = 40_000_000
MAX_BATCH_SIZE = 1024  # the cascade's own limit is lower
CODE = (
    Path(__file__).with_name("model.py"),
    Path(canvas.__file__),
    Path(contract.__file__),
    Path(cores.__file__),
)


def decode_config(canvas: int, max_pixels: int) -> ModelConfig:
    """Return the configuration of `decode`: BYTES [1] to UINT8 [S, S, 3].

    Args:
        canvas: Side S of the canvas, in pixels.
        max_pixels: Larger images are rejected before they are decoded: a small file can unpack to gigabytes.
    """
    config = ModelConfig(name=DECODE, backend="python", max_batch_size=MAX_BATCH_SIZE)
    config.input.append(ModelInput(**ENCODED.config()))
    config.output.append(ModelOutput(**IMAGE.config(canvas=canvas)))
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
    config = ModelConfig(name=CASCADE_ENCODED, platform="ensemble")
    config.input.append(ModelInput(**_with_batch_axis(ENCODED)))
    config.output.extend(ModelOutput(**_with_batch_axis(output)) for output in OUTPUTS)
    config.ensemble_scheduling.step.extend([_step(DECODE, [ENCODED], [IMAGE]), _step(CASCADE, [IMAGE], OUTPUTS)])
    return config


def write_encoded(canvas: int, repository: Path, max_pixels: int = MAX_PIXELS) -> list[WrittenEntry]:
    """Write the entries that let the cascade take encoded images: `decode`, then the ensemble."""
    return [
        write_entry(repository, decode_config(canvas, max_pixels), {path.name: path for path in CODE}),
        write_entry(repository, ensemble_config(), {}),
    ]


def remove_encoded(repository: Path) -> None:
    """Remove the entries that let the cascade take encoded images, the ensemble first."""
    for name in (CASCADE_ENCODED, DECODE):
        remove_entry(repository, name)


def _with_batch_axis(tensor: TensorSpec) -> dict[str, Any]:
    config = tensor.config()
    return config | {"dims": [VARIABLE, *config["dims"]]}


def _step(model: str, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> ModelEnsembling.Step:
    """Return a step whose tensors have the same names in the ensemble and in the model."""
    input_map, output_map = ({tensor.name: tensor.name for tensor in tensors} for tensors in (inputs, outputs))
    return ModelEnsembling.Step(model_name=model, model_version=-1, input_map=input_map, output_map=output_map)
