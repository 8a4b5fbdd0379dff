"""The entry of the cascade: its configuration, the model that Triton loads, and the packages that it imports."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path
from types import ModuleType

import cascade_core
import cascade_serving
from build_engines.repository.entry import VERSION, WrittenEntry
from build_engines.support.atomic_files import clear_leftovers, write_folder_whole
from cascade_core.contract import CASCADE, CASCADE_FILE
from cascade_core.spec import Cascade

PACKAGES = (cascade_core, cascade_serving)


def put_cascade(repository: Path) -> None:
    """Copy the BLS model of the cascade into a model repository; a cascade.json in it is kept.

    In the repository that contains the packages themselves, nothing is copied. Either way the entry is then newer than
    the backbones, so that Triton reloads it with them: in process, the cascade holds their networks.
    """
    target = repository / CASCADE
    clear_leftovers(target)
    kept = target / CASCADE_FILE
    if _holds_the_packages(target):
        if kept.is_file():
            kept.touch()
        return
    text = kept.read_bytes() if kept.is_file() else None

    def write(folder: Path) -> None:
        copy_cascade(folder)
        if text is not None:
            (folder / CASCADE_FILE).write_bytes(text)

    write_folder_whole(target, write)


def write_cascade_entry(repository: Path, name: str, cascade: Cascade) -> WrittenEntry:
    """Write another cascade beside `cascade`, whole or not at all.

    Args:
        repository: The model repository, which has the entries of its stages.
        name: Of the entry, and so of the Triton model.
        cascade: What it serves.
    """

    def write(folder: Path) -> None:
        copy_cascade(folder)
        config = folder / "config.pbtxt"
        config.write_text(config.read_text().replace(f'name: "{CASCADE}"', f'name: "{name}"'))
        (folder / CASCADE_FILE).write_text(cascade.to_json(), encoding="utf-8")

    clear_leftovers(repository / name)
    write_folder_whole(repository / name, write)
    return WrittenEntry(repository / name, is_new=True)


def copy_cascade(entry: Path) -> None:
    """Copy the cascade's entry, except for cascade.json, into a folder, which need not exist."""
    for package in PACKAGES:
        with as_file(files(package)) as source:
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(source, entry / VERSION / package.__name__, dirs_exist_ok=True, ignore=ignored)
    for name, folder in (("config.pbtxt", entry), ("model.py", entry / VERSION)):
        (folder / name).write_bytes(files(__name__).joinpath(name).read_bytes())


def _holds_the_packages(entry: Path) -> bool:
    return all((entry / VERSION / package.__name__).resolve() == _folder(package) for package in PACKAGES)


def _folder(package: ModuleType) -> Path:
    return Path(str(files(package))).resolve()
