"""Data sets of Hugging Face's library `datasets`, stored on this machine: saved, as Parquet, or an image folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build_engines.errors import ImageSourceError
from build_engines.images.canvas import ImageLike, UnusableImage
from build_engines.images.image_files import shortened
from build_engines.images.listed import is_label_column
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
        """Return the encoded bytes, or the path of the file; raises UnusableImage where there is neither."""
        stored: dict[str, Any] = self.dataset[self.row][self.column] or {}
        if stored.get("bytes") is not None:
            return stored["bytes"]  # type: ignore[no-any-return]  # as the features of the data set promise
        if stored.get("path") is None:
            raise UnusableImage(f"{self.image_id}: row {self.row} of the data set has no image (null)")
        return Path(stored["path"])


def kind_of(folder: Path) -> str:
    """Return which files make a folder a data set rather than images alone, for messages; empty if none does."""
    if any((folder / name).is_file() for name in (SAVED, SAVED_SPLITS)):
        return "a saved data set"
    named = next((name for name in METADATA if (folder / name).is_file()), "")
    return named or shortened([path.relative_to(folder).as_posix() for path in _parquet_files(folder)])


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
    label_column, multiple = _label_column(datasets, dataset)
    class_ids, note = class_ids_of(_labels(datasets, dataset, label_column), labels, str(given))
    left_out = f"{given}: left out the column {multiple}, which does not hold one label per image" if multiple else ""
    return ImageSource(str(given), images, class_ids, tuple(filter(None, (left_out if labels else "", note))))


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


def _label_column(datasets: Any, dataset: Any) -> tuple[str | None, str]:  # noqa: ANN401
    """Return the column of labels, and those named like one that hold lists or structures, quoted."""
    kinds = dataset.features
    named = [name for name in kinds if is_label_column(name)]
    single = [name for name in named if isinstance(kinds[name], datasets.Value)]
    classes = [name for name, kind in kinds.items() if isinstance(kind, datasets.ClassLabel)]
    multiple = [name for name in named if name not in {*single, *classes}]
    return next(iter([*classes, *single]), None), shortened(multiple)


def _labels(datasets: Any, dataset: Any, column: str | None) -> list[str | None]:  # noqa: ANN401
    if column is None:
        return [None] * len(dataset)
    kind = dataset.features[column]
    named = kind.int2str if isinstance(kind, datasets.ClassLabel) else str
    return [None if value in {None, -1} else named(value) for value in dataset[column]]
