"""The entry of one backbone, served by one of the runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelOutput

from build_engines.errors import BuildError
from build_engines.pool.artifacts import BackboneBuild
from build_engines.repository.entry import MADE_FROM, WrittenEntry, write_hashed_entry
from build_engines.repository.runtimes import Runtime, find_runtime
from build_engines.repository.runtimes.torch import PRECISION, PRECISIONS
from cascade_core.contract import IMAGE, PROBABILITIES


class BackboneEntry(NamedTuple):
    """An entry that is ready to be written: its configuration, and the files of its version folder by name."""

    config: ModelConfig
    files: dict[str, Path]


def backbone_entry(built: BackboneBuild, runtime: str, precision: str | None = None) -> BackboneEntry:
    """Return the entry of one backbone; what its runtime serves is made, where that takes no command of its own.

    Args:
        built: The backbone, exported before.
        runtime: A key of `RUNTIMES`.
        precision: Other than the runtime's default, where the served file leaves it open: one of `PRECISIONS`.

    Raises:
        BuildError: unknown runtime or precision, or what is served of the backbone is missing or out of date.
    """
    serving = find_runtime(runtime)
    manifest = built.require_manifest()
    files = serving.files(built)
    config = backbone_config(built, serving)
    if precision is not None:
        _set_precision(config, runtime, precision)
    config.parameters[MADE_FROM].string_value = manifest.onnx_sha256
    return BackboneEntry(config, files)


def write_backbone(
    built: BackboneBuild, repository: Path, runtime: str = "embedded", precision: str | None = None
) -> WrittenEntry:
    """Write the `backbone_entry` of one backbone into a repository, whole or not at all.

    Raises:
        BuildError: as `backbone_entry` does.
    """
    return write_hashed_entry(repository, *backbone_entry(built, runtime, precision))


def backbone_config(built: BackboneBuild, runtime: Runtime) -> ModelConfig:
    """Return the Triton configuration of a backbone."""
    pool = built.pool
    config = ModelConfig(name=built.name, max_batch_size=built.backbone.max_batch_size)
    config.input.append(ModelInput(**IMAGE.config(canvas=pool.canvas)))
    config.output.append(ModelOutput(**PROBABILITIES.config(classes=len(pool.labels))))
    config.dynamic_batching.SetInParent()
    runtime.configure(config)
    return config


def _set_precision(config: ModelConfig, runtime: str, precision: str) -> None:
    if PRECISION not in config.parameters:
        raise BuildError(
            f"the runtime {runtime!r} computes in the precision of the file it serves: leave --precision out, and set "
            "`precision` in the pool file"
        )
    if precision not in PRECISIONS:
        raise BuildError(f"unknown precision {precision!r}; known are {', '.join(PRECISIONS)}")
    config.parameters[PRECISION].string_value = precision
