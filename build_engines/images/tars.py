"""Shards of images in tar files, as the library webdataset writes them: files of one sample share their name's stem."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from build_engines.errors import ImageSourceError
from build_engines.images.folder import EXTENSIONS
from build_engines.images.named_classes import class_ids_of
from build_engines.images.source import ImageSource, file_version

SAMPLE = re.compile(r"((?:.*/)?[^/.]+)\.([^/]*)")  # key and extension, as webdataset splits a name
LABEL_EXTENSIONS = ("cls", "label", "cls.txt", "label.txt")
LABEL_FIELDS = ("label", "class_name", "class", "cls", "wnid")  # of a sample's JSON
LONGEST_LABEL_BYTES = 1_000_000


@dataclass(frozen=True)
class TarMember:
    """An image inside a tar file.

    Attributes:
        tar: The tar file, which is not compressed.
        name: Of the member.
        offset: Where its data begin, in bytes.
        size: Its length, in bytes.
    """

    tar: Path
    name: str
    offset: int
    size: int

    @property
    def image_id(self) -> str:
        """The names of the tar file and of the member."""
        return f"{self.tar.name}/{self.name}"

    @property
    def version(self) -> str:
        """The version of the tar file, and the member's place in it."""
        return f"{file_version(self.tar)} {self.offset} {self.size}"

    def load(self) -> bytes:
        """Read the member."""
        with self.tar.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


def open_tars(tars: Sequence[Path], origin: str, labels: Sequence[str] | None) -> ImageSource:
    """List the images of tar files, in the order in which they are stored.

    A sample's label is its `.cls` file, or the field `label` of its `.json`.

    Raises:
        ImageSourceError: a file is no tar file or is compressed, there is no image, or a label is not in the set.
    """
    samples = [sample for tar in tars for sample in _samples(tar)]
    if not samples:
        raise ImageSourceError(f"{origin} has no image ({', '.join(sorted(EXTENSIONS))}) in {len(tars)} tar files")
    class_ids, note = class_ids_of([label for _, label in samples], labels, origin)
    return ImageSource(origin, tuple(image for image, _ in samples), class_ids, (note,) if note else ())


def _samples(tar: Path) -> Iterator[tuple[TarMember, str | None]]:
    images: dict[str, TarMember] = {}
    written: dict[str, str] = {}
    try:
        with tarfile.open(tar, "r:") as opened:
            for member in filter(tarfile.TarInfo.isfile, opened):
                if split := SAMPLE.fullmatch(member.name):
                    key, extension = split[1], split[2].lower()
                    if f".{extension.rpartition('.')[2]}" in EXTENSIONS:
                        found = TarMember(tar, member.name, member.offset_data, member.size)
                        images.setdefault(key, found)
                    elif label := _label(tar, opened, member, extension):
                        written[key] = label
    except (tarfile.TarError, OSError) as error:
        raise ImageSourceError(f"cannot read {tar} as a tar file: {error}; if it is compressed, unpack it") from error
    for key, image in images.items():
        yield image, written.get(key)


def _label(tar: Path, opened: tarfile.TarFile, member: tarfile.TarInfo, extension: str) -> str | None:
    file = opened.extractfile(member) if member.size <= LONGEST_LABEL_BYTES else None
    if file is None:
        return None
    if extension in LABEL_EXTENSIONS:
        return file.read().decode(errors="replace").strip()
    if extension != "json":
        return None
    try:
        content = json.loads(file.read())
    except ValueError as error:
        raise ImageSourceError(f"{member.name} in {tar} is not valid JSON: {error}") from error
    fields = content if isinstance(content, dict) else {}
    return next((str(fields[name]) for name in LABEL_FIELDS if name in fields), None)
