"""Data sets of Hugging Face's library `datasets`, stored on this machine: saved, as Parquet, or an image folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build_engines.errors import ImageSourceError
from build_engines.images.canvas import ImageLike
from build_engines.images.listed import LABEL_COLUMNS
from build_engines.images.named_classes import class_ids_of
from build_engines.images.source import ImageSource, file_version
from build_engines.support.atomic_files import fingerprint

SAVED = "dataset_info.json"
SAVED_SPLITS = "dataset_dict.json"
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


@dataclass(frozen=True)
class DatasetImage:
    """An image of a data set.

    Attributes:
        dataset: A `datasets.Dataset` whose images are not decoded.
        column: The column of images.
        row: Which it is.
        image_id: Its file name, or its row.
        version: The versions of the files that the data set was read from.
    """

    dataset: Any
    column: str
    row: int
    image_id: str
    version: str

    def load(self) -> ImageLike:
        """Return the encoded bytes, or the path of the file."""
        stored: dict[str, Any] = self.dataset[self.row][self.column]
        return stored["bytes"] if stored["bytes"] is not None else Path(stored["path"])


def is_dataset(folder: Path) -> bool:
    """Whether a folder is a data set rather than images alone."""
    named = any((folder / name).is_file() for name in (SAVED, SAVED_SPLITS, *METADATA))
    return named or bool(_parquet_files(folder))


def open_dataset(given: Path, labels: Sequence[str] | None) -> ImageSource:
    """Open a stored data set; its label column, if it has one, gives the classes by name.

    Args:
        given: The folder of a data set, or a Parquet file of images.
        labels: Names of the classes; None leaves every image unlabelled.

    Raises:
        ImageSourceError: `datasets` is not installed, the data set cannot be read or has several splits or no column of
            images, or a label is not in the set.
    """
    datasets = _library(given)
    dataset = _loaded(datasets, given)
    column = next((name for name, kind in dataset.features.items() if isinstance(kind, datasets.Image)), None)
    if column is None:
        raise ImageSourceError(f"{given} has no column of images; its columns are {', '.join(dataset.column_names)}")
    dataset = dataset.cast_column(column, datasets.Image(decode=False))
    files = [given] if given.is_file() else sorted(path for path in given.rglob("*") if path.is_file())
    version = fingerprint(*map(file_version, files))
    images = tuple(
        DatasetImage(dataset, column, row, name, version) for row, name in enumerate(_names(dataset, column))
    )
    class_ids, note = class_ids_of(_labels(datasets, dataset), labels, str(given))
    return ImageSource(str(given), images, class_ids, (note,) if note else ())


def _library(given: Path) -> Any:  # noqa: ANN401 (an extra, which may be missing)
    try:
        import datasets  # noqa: PLC0415
    except ImportError as error:
        raise ImageSourceError(
            f"{given} is a data set of Hugging Face's library `datasets`; install the extra `datasets`"
        ) from error
    datasets.disable_progress_bars()
    return datasets


def _loaded(datasets: Any, given: Path) -> Any:  # noqa: ANN401
    try:
        found = _open(datasets, given)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise ImageSourceError(f"cannot read {given} as a data set: {error}") from error
    if isinstance(found, datasets.Dataset):
        return found
    if len(found) != 1:
        raise ImageSourceError(f"{given} has the splits {', '.join(found)}; name the folder of one of them")
    return next(iter(found.values()))


def _open(datasets: Any, given: Path) -> Any:  # noqa: ANN401
    if any((given / name).is_file() for name in (SAVED, SAVED_SPLITS)):
        return datasets.load_from_disk(str(given))
    if given.is_file():
        return datasets.load_dataset("parquet", data_files=str(given))
    if any((given / name).is_file() for name in METADATA):
        return datasets.load_dataset("imagefolder", data_dir=str(given))
    return datasets.load_dataset("parquet", data_files=[*map(str, _parquet_files(given))])


def _parquet_files(folder: Path) -> list[Path]:
    return sorted(path for place in (folder, folder / "data") for path in place.glob("*.parquet"))


def _names(dataset: Any, column: str) -> list[str]:  # noqa: ANN401
    """Return a name for each image, without reading the images: its row and its file's name."""
    stored = dataset.with_format("arrow")[:][column]
    paths = [path for chunk in stored.chunks for path in chunk.field("path").to_pylist()]
    return [f"{row}/{Path(path).name}" if path else str(row) for row, path in enumerate(paths)]


def _labels(datasets: Any, dataset: Any) -> list[str | None]:  # noqa: ANN401
    kinds = dataset.features
    names = [name for name, kind in kinds.items() if isinstance(kind, datasets.ClassLabel)]
    column = next(iter([*names, *(name for name in kinds if name.casefold() in LABEL_COLUMNS)]), None)
    if column is None:
        return [None] * len(dataset)
    named = kinds[column].int2str if isinstance(kinds[column], datasets.ClassLabel) else str
    return [None if value in {None, -1} else named(value) for value in dataset[column]]
