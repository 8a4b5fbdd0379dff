"""Published multiply-accumulates, shown beside the counted ones and tested against them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter
from yaml import safe_load

from build_engines.pool.schema import Backbone, TimmBackbone

CLASSES = 1000


class Source(BaseModel):
    """The figures of one source.

    Attributes:
        source: A paper, or a library of models.
        gmacs: Of one image, in units of 10⁹ multiply-accumulates, by `architecture pixels`.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    gmacs: dict[str, float]


@cache
def sources() -> tuple[Source, ...]:
    """Return all sources, in the order of preference."""
    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    return TypeAdapter(tuple[Source, ...]).validate_python(safe_load(text))


def published(backbone: Backbone) -> dict[str, float]:
    """Return the cost of a backbone by source, in units of 10⁹ multiply-accumulates."""
    if not isinstance(backbone, TimmBackbone) or backbone.classes != CLASSES or backbone.arguments:
        return {}
    name = f"{backbone.architecture.partition('.')[0]} {backbone.input_size}"
    return {source.source: source.gmacs[name] for source in sources() if name in source.gmacs}
