"""One entry of a Triton model repository: a configuration, and a version folder of files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from build_engines.support.atomic_files import clear_leftovers, sha256, write_folder_whole

VERSION = "1"
MADE_FROM = "onnx_sha256"  # the parameter that names the ONNX file which an entry was made from
SHA256 = "_sha256"  # a parameter's suffix, after the name of a file in the version folder


@dataclass(frozen=True)
class WrittenEntry:
    """An entry after a write.

    Attributes:
        folder: The entry.
        is_new: Whether it was written just now, rather than reused.
    """

    folder: Path
    is_new: bool

    def __str__(self) -> str:
        return f"{self.folder}: {'written' if self.is_new else 'reused'}"


def write_entry(repository: Path, config: ModelConfig, files: Mapping[str, Path]) -> WrittenEntry:
    """Write an entry whole or not at all, unless it is there with the same configuration.

    Args:
        repository: The model repository.
        config: The entry's configuration, which names the entry.
        files: The name of each file in the version folder, and the file that it is a copy of. Those whose SHA-256 the
            configuration holds are written again if they are damaged.
    """
    entry = repository / config.name
    clear_leftovers(entry)
    if _is_current(entry, config, files):
        return WrittenEntry(entry, is_new=False)

    def write(folder: Path) -> None:
        (folder / VERSION).mkdir()
        for name, source in files.items():
            shutil.copyfile(source, folder / VERSION / name)
        (folder / "config.pbtxt").write_text(text_format.MessageToString(config))

    write_folder_whole(entry, write)
    return WrittenEntry(entry, is_new=True)


def write_hashed_entry(repository: Path, config: ModelConfig, files: Mapping[str, Path]) -> WrittenEntry:
    """Write an entry whose configuration gets the SHA-256 of each file; arguments as of `write_entry`."""
    for name, file in files.items():
        config.parameters[name + SHA256].string_value = sha256(file)
    return write_entry(repository, config, files)


def remove_entry(repository: Path, name: str) -> None:
    """Remove an entry, and what interrupted writes left of it."""
    clear_leftovers(repository / name)
    shutil.rmtree(repository / name, ignore_errors=True)


def _is_current(entry: Path, config: ModelConfig, files: Mapping[str, Path]) -> bool:
    version = entry / VERSION
    hashed = [name for name in files if name + SHA256 in config.parameters]
    try:
        present = text_format.Parse((entry / "config.pbtxt").read_text(), ModelConfig())
        whole = all(sha256(version / name) == config.parameters[name + SHA256].string_value for name in hashed)
    except (OSError, UnicodeDecodeError, text_format.ParseError):
        return False
    return bool(present == config) and whole and version.is_dir()
