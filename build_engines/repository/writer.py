"""Write the entries of a Triton model repository: one a backbone, and the cascade beside them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelOutput

from build_engines.errors import BuildError
from build_engines.pool.artifacts import BackboneBuild
from build_engines.pool.schema import Backbone, Pool
from build_engines.repository import encoded
from build_engines.repository.cascade_entry import VERSION
from build_engines.repository.runtimes import Runtime, find_runtime
from build_engines.repository.runtimes.torch import PRECISION, PRECISIONS
from build_engines.support.atomic_files import clear_leftovers, sha256, write_folder_whole

MADE_FROM = "onnx_sha256"
SHA256 = "_sha256"  # after the name of a file of the version folder


def backbone_entry(
    built: BackboneBuild, runtime: str, precision: str | None = None
) -> tuple[ModelConfig, dict[str, Path]]:
    """Return the entry of one backbone as `write_files` takes it: its configuration, and its files.

    Args:
        built: The backbone, exported before.
        runtime: A key of `RUNTIMES`.
        precision: Other than the runtime's own, where the served file leaves it open: one of `PRECISIONS`.

    Raises:
        BuildError: unknown runtime or precision, or what is served of the backbone is missing or out of date.
    """
    serving = find_runtime(runtime)
    manifest = built.require_manifest()
    files = serving.files(built)
    config = backbone_config(built.pool, built.backbone, serving)
    if precision is not None:
        _set_precision(config, runtime, precision)
    config.parameters[MADE_FROM].string_value = manifest.onnx_sha256
    return config, files


def write_backbone(built: BackboneBuild, repository: Path, runtime: str, precision: str | None = None) -> bool:
    """Write the `backbone_entry` of one backbone into a repository, whole or not at all.

    Returns:
        Whether anything was written; an entry made of the same ONNX file and configuration is left alone.

    Raises:
        BuildError: as `backbone_entry` does.
    """
    return write_files(repository, *backbone_entry(built, runtime, precision))


def write_files(repository: Path, config: ModelConfig, files: Mapping[str, Path]) -> bool:
    """Write an entry of files, whose SHA-256 its configuration then names; return whether anything was written.

    Args:
        repository: The model repository.
        config: The entry's configuration, but for the SHA-256.
        files: The name of each file in the version folder, and which file it is a copy of.
    """
    for name, file in files.items():
        config.parameters[name + SHA256].string_value = sha256(file)
    return _write_entry(repository, config, lambda version: _copy(files, version), files)


def backbone_config(pool: Pool, backbone: Backbone, runtime: Runtime) -> ModelConfig:
    """Return the Triton configuration of a backbone."""
    config = ModelConfig(name=backbone.name, max_batch_size=backbone.max_batch_size)
    config.input.append(ModelInput(name="image", data_type="TYPE_UINT8", dims=[pool.canvas, pool.canvas, 3]))
    config.output.append(ModelOutput(name="probabilities", data_type="TYPE_FP32", dims=[len(pool.labels)]))
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


def write_encoded(canvas: int, repository: Path, max_pixels: int = encoded.MAX_PIXELS) -> dict[str, bool]:
    """Write the entries that take encoded images for the cascade; return whether anything of each was written."""
    decode = encoded.decode_config(canvas, max_pixels)
    return {
        encoded.DECODE: _write_entry(repository, decode, encoded.fill),
        encoded.ENCODED: _write_entry(repository, encoded.ensemble_config(), lambda _: None),
    }


def remove_encoded(repository: Path) -> None:
    """Remove the entries that take encoded images, the ensemble first."""
    for name in (encoded.ENCODED, encoded.DECODE):
        clear_leftovers(repository / name)
        shutil.rmtree(repository / name, ignore_errors=True)


def _write_entry(
    repository: Path, config: ModelConfig, fill: Callable[[Path], None], files: Iterable[str] = ()
) -> bool:
    """Write an entry whole, unless it is there with the same configuration; return whether it was written.

    Args:
        repository: Where.
        config: Its configuration.
        fill: What fills its version folder.
        files: Those of its files whose SHA-256 the configuration names: damaged ones are written again.
    """
    entry = repository / config.name
    clear_leftovers(entry)
    if _is_current(entry, config, files):
        return False

    def write(folder: Path) -> None:
        (folder / VERSION).mkdir()
        fill(folder / VERSION)
        (folder / "config.pbtxt").write_text(text_format.MessageToString(config))

    write_folder_whole(entry, write)
    return True


def _copy(files: Mapping[str, Path], version: Path) -> None:
    for name, source in files.items():
        shutil.copyfile(source, version / name)


def _is_current(entry: Path, config: ModelConfig, files: Iterable[str]) -> bool:
    version = entry / VERSION
    try:
        present = text_format.Parse((entry / "config.pbtxt").read_text(), ModelConfig())
        whole = all(sha256(version / name) == config.parameters[name + SHA256].string_value for name in files)
    except (OSError, UnicodeDecodeError, text_format.ParseError):
        return False
    return bool(present == config) and whole and version.is_dir()
