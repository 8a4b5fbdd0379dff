"""Shards of images in tar files, as the library webdataset writes them: files of one sample share their name's stem."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from build_engines.errors import ImageSourceError
from build_engines.images.image_files import EXTENSIONS, shortened
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


@dataclass
class Sample:
    """The files of a tar file whose names are the same up to the first dot.

    Attributes:
        images: In the order in which they are stored.
        label: That of a `.cls` file.
        json_label: That in a `.json` file.
    """

    images: list[TarMember] = field(default_factory=list)
    label: str | None = None
    json_label: str | None = None


def open_tars(tars: Sequence[Path], origin: str, labels: Sequence[str] | None) -> ImageSource:
    """List the images of tar files, in the order in which they are stored.

    A sample's label is its `.cls` file, else the field `label` of its `.json`. Of several images of a sample the first
    is used, and a note names the others.

    Raises:
        ImageSourceError: a file is no tar file or is compressed, there is no image, or a label is not in the set.
    """
    samples = [sample for tar in tars for sample in _samples(tar) if sample.images]
    if not samples:
        raise ImageSourceError(f"{origin} has no image ({', '.join(sorted(EXTENSIONS))}) in {len(tars)} tar files")
    class_ids, note = class_ids_of([sample.label or sample.json_label for sample in samples], labels, origin)
    images = tuple(sample.images[0] for sample in samples)
    return ImageSource(origin, images, class_ids, tuple(filter(None, (_further(samples, origin), note))))


def _further(samples: Sequence[Sample], origin: str) -> str:
    """Return a note on the images that share a sample with another; empty if there are none."""
    left_out = [image.image_id for sample in samples for image in sample.images[1:]]
    if not left_out:
        return ""
    return (
        f"{origin}: left out {len(left_out)} images, because only the first image of a sample is used and files whose "
        f"names are the same up to the first dot are one sample: {shortened(left_out)}; if they are images of their "
        "own, rename them without further dots"
    )


def _samples(tar: Path) -> Iterator[Sample]:
    samples: dict[str, Sample] = {}
    try:
        with tarfile.open(tar, "r:") as opened:
            for member in filter(tarfile.TarInfo.isfile, opened):
                if split := SAMPLE.fullmatch(member.name):
                    sample = samples.setdefault(split[1], Sample())
                    _read_member(sample, tar, opened, member, split[2].lower())
    except (tarfile.TarError, OSError) as error:
        raise ImageSourceError(f"cannot read {tar} as a tar file: {error}; if it is compressed, unpack it") from error
    yield from samples.values()


def _read_member(sample: Sample, tar: Path, opened: tarfile.TarFile, member: tarfile.TarInfo, extension: str) -> None:
    if f".{extension.rpartition('.')[2]}" in EXTENSIONS:
        sample.images.append(TarMember(tar, member.name, member.offset_data, member.size))
    elif extension in LABEL_EXTENSIONS:
        sample.label = _content(opened, member).decode(errors="replace").strip() or sample.label
    elif extension == "json":
        sample.json_label = _json_label(tar, member.name, _content(opened, member))


def _content(opened: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = opened.extractfile(member) if member.size <= LONGEST_LABEL_BYTES else None
    return b"" if file is None else file.read()


def _json_label(tar: Path, name: str, content: bytes) -> str | None:
    try:
        read = json.loads(content) if content else None
    except ValueError as error:
        raise ImageSourceError(f"{name} in {tar} is not valid JSON: {error}") from error
    fields = read if isinstance(read, dict) else {}
    return next((str(fields[key]) for key in LABEL_FIELDS if fields.get(key) is not None), None)
