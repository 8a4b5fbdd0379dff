"""The pool file: which backbones may be chosen from, over one label set."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from build_engines.errors import PoolError
from build_engines.pool.labels import resolve_labels
from build_engines.support.atomic_files import read_text
from cascade_core.contract import ENTRIES

PRETRAINED = "pretrained"
RANDOM = "random"
TIMM, ONNX = "a timm backbone", "an ONNX backbone"
PLAIN_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"  # safe as the name of a folder: it cannot lead elsewhere

Precision = Literal["fp32", "fp16"]
Channels = tuple[float, float, float]
Positive = Annotated[float, Field(gt=0)]


class Backbone(BaseModel, ABC):
    """One pretrained classifier, from timm or an ONNX file.

    Attributes:
        input_size: Side of the square input, in pixels.
        classes: Of the network, the dropped one included.
        drop_class: A class without a label, such as the background of 1,001 ImageNet classes; it is cut off.
        mean: Of each channel; subtracted before `std` divides.
        crop_pct: Share of the resized image's side that the centre crop keeps.
        interpolation: Of the resize, which is antialiased.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=PLAIN_NAME)]
    input_size: Annotated[int, Field(ge=8, le=2048)]
    classes: Annotated[int, Field(ge=1)]
    drop_class: Annotated[int, Field(ge=0)] | None = None
    mean: Channels | None = None
    std: tuple[Positive, Positive, Positive] | None = None
    crop_pct: Annotated[float, Field(gt=0, le=1)] | None = None
    interpolation: Literal["bicubic", "bilinear"] | None = None
    precision: Precision = "fp32"
    max_batch_size: Annotated[int, Field(ge=1, le=4096)] = 32

    @model_validator(mode="after")
    def _drops_a_class_that_it_has(self) -> Self:
        if self.drop_class is not None and not self.drop_class < self.classes > 1:
            raise ValueError(
                f"drop_class is {self.drop_class}, but the network has {self.classes} classes, counted from 0; classes "
                "includes the dropped one"
            )
        return self

    @property
    def kept_classes(self) -> tuple[int, ...]:
        """The network's classes that are served, in the order of the labels."""
        return tuple(class_id for class_id in range(self.classes) if class_id != self.drop_class)

    @property
    @abstractmethod
    def source(self) -> str:
        """The source of the weights: the name of a file, `pretrained` or `random`."""

    @property
    def is_pretrained(self) -> bool:
        """Whether timm downloads the weights."""
        return self.source == PRETRAINED

    @property
    def is_random(self) -> bool:
        """Whether the weights are random: for measuring and checking only."""
        return self.source == RANDOM

    @property
    def has_file(self) -> bool:
        """Whether the weights are a file of the user's."""
        return not self.is_pretrained and not self.is_random

    @property
    def is_onnx(self) -> bool:
        """Whether the network is an ONNX file rather than an architecture of timm's."""
        return False

    def with_random_weights(self) -> Self:
        """Return the same architecture with random weights; an ONNX file stays as it is."""
        return self


class TimmBackbone(Backbone):
    """A timm architecture with its weights.

    Preprocessing fields that are left out are taken from timm's `pretrained_cfg`; `mean` and `std` are for pixels in
    0..1.
    """

    architecture: str
    weights: str
    arguments: dict[str, Any] = Field(default_factory=dict)

    @property
    def source(self) -> str:
        """`weights`."""
        return self.weights

    def with_random_weights(self) -> Self:
        """Return the same architecture with random weights."""
        return self.model_copy(update={"weights": RANDOM})


class OnnxBackbone(Backbone):
    """An ONNX file that maps FP32 images to logits or probabilities, and the input that it expects.

    What changes the answers and cannot be read from the file has no default. Preprocessing fields that are left out
    mean: the whole image is resized (`crop_pct` 1), `bicubic`, no normalisation.

    Attributes:
        layout: Dimension order of the file's input: `NCHW` or `NHWC`.
        value_range: Upper end of the pixel range, 1 or 255, before normalisation; `mean` and `std` are in that range.
        colours: Order of the channels, also of those in `mean` and `std`.
        output: Whether it returns `logits` (which log-probabilities are too) or `probabilities`.
        gmacs: Cost of an image in units of 10⁹ multiply-accumulates, where it cannot be counted.
    """

    onnx: str
    layout: Literal["NCHW", "NHWC"]
    value_range: Literal[1, 255]
    output: Literal["logits", "probabilities"]
    colours: Literal["RGB", "BGR"] = "RGB"
    gmacs: Positive | None = None

    @property
    def source(self) -> str:
        """The name of the ONNX file."""
        return self.onnx

    @property
    def is_onnx(self) -> bool:
        """True."""
        return True


def _kind(entry: object) -> str:
    return ONNX if isinstance(entry, OnnxBackbone) or (isinstance(entry, dict) and "onnx" in entry) else TIMM


AnyBackbone = Annotated[Annotated[TimmBackbone, Tag(TIMM)] | Annotated[OnnxBackbone, Tag(ONNX)], Discriminator(_kind)]


class Pool(BaseModel):
    """The backbones of one label set, and the canvas that all of them take.

    Attributes:
        canvas: Side of the canvas, in pixels.
        folder: The pool file's folder, where relative paths start.
        sha256: Of the pool file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=PLAIN_NAME)]
    canvas: Annotated[int, Field(ge=8, le=2048)]
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    backbones: Annotated[tuple[AnyBackbone, ...], Field(min_length=1)]
    folder: Path
    sha256: str

    @model_validator(mode="after")
    def _one_name_one_label_set(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("two labels are the same; give every class its own name")
        repeated = [name for name, count in Counter(b.name for b in self.backbones).items() if count > 1]
        if repeated:
            raise ValueError(f"two backbones are called {repeated[0]!r}; give each its own name")
        taken = sorted(ENTRIES & {b.name for b in self.backbones})
        if taken:
            raise ValueError(f"{taken[0]!r} is served beside the backbones; rename the backbone")
        for backbone in self.backbones:
            kept = len(backbone.kept_classes)
            if kept != len(self.labels):
                advice = "; if its first one is the background, write `drop_class: 0`" * (kept == len(self.labels) + 1)
                raise ValueError(
                    f"backbone {backbone.name!r} has {kept} classes but the pool has {len(self.labels)} labels; all "
                    f"backbones of a pool must have the same labels{advice}"
                )
        return self

    def variant(self, *, random_weights: bool = False, precision: Precision | None = None) -> Pool:
        """Return the same architectures with random weights or in another precision, under a different name."""
        backbones = tuple(b.with_random_weights() if random_weights else b for b in self.backbones)
        if precision:
            backbones = tuple(backbone.model_copy(update={"precision": precision}) for backbone in backbones)
        name = "-".join(part for part in (self.name, RANDOM * random_weights, precision) if part)
        return self.model_copy(update={"name": name, "backbones": backbones})

    def weights_file(self, backbone: Backbone) -> Path:
        """Return the path of a backbone's weights; relative paths start at the pool file's folder."""
        return (self.folder / backbone.source).resolve()

    def backbone(self, name: str) -> Backbone:
        """Return the backbone called `name`.

        Raises:
            PoolError: the pool has none.
        """
        for backbone in self.backbones:
            if backbone.name == name:
                return backbone
        known = ", ".join(b.name for b in self.backbones)
        raise PoolError(f"pool {self.name!r} has no backbone {name!r}; it has: {known}")


def load_pool(path: Path) -> Pool:
    """Read and validate a pool file.

    Args:
        path: A YAML file.

    Raises:
        PoolError: the file is missing, is not YAML, or breaks a rule of the format.
    """
    text = read_text(path)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PoolError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise PoolError(f"{path} must be a mapping with name, canvas, labels and backbones")
    for reserved in ("folder", "sha256"):
        if reserved in content:
            raise PoolError(f"{path}: {reserved} is not a field of a pool file; remove it")
    if "labels" in content:
        content["labels"] = resolve_labels(content["labels"], path)
    try:
        return Pool(**content, folder=path.parent, sha256=hashlib.sha256(text.encode()).hexdigest())
    except (ValidationError, TypeError) as error:
        raise PoolError(f"{path}: {_explain(error)}") from error


def _explain(error: ValidationError | TypeError) -> str:
    if isinstance(error, TypeError):
        return str(error)
    entries = error.errors()
    places = [entry["loc"] for entry in entries]
    return "; ".join(
        f"{_place(place)}: {entry['msg'].removeprefix('Value error, ')}"
        for place, entry in zip(places, entries, strict=True)
        if not any(
            other[: len(place)] == place and other != place for other in places
        )  # those that follow from another
    )


def _place(parts: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in parts if part not in (TIMM, ONNX)) or "pool"
