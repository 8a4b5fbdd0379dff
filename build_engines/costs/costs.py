"""The cost of one image in each backbone: multiply-accumulates or measured time, with the source of the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from build_engines.errors import CostError
from build_engines.support.atomic_files import write_text_whole

GMACS, MS = "GMACs", "ms"
SMALLER = {GMACS: "MMACs", MS: "µs"}  # a thousandth of each


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    unit: str
    source: str
    costs: dict[str, float]
    measured_by: dict[str, str] = {}


class Costs(Mapping[str, float]):
    """The cost of one image, by backbone.

    Attributes:
        unit: `GMACs` or `ms`.
        source: The source of the numbers, in words.
        measured_by: The runtime that was measured, by backbone; empty where nothing was measured, or it is unknown.
    """

    def __init__(
        self,
        costs: Mapping[str, float],
        unit: str = GMACS,
        source: str = "counted",
        measured_by: Mapping[str, str] | None = None,
    ) -> None:
        """Take the cost of each backbone.

        Raises:
            CostError: a cost is not a positive number, or the unit is unknown.
        """
        if unit not in SMALLER:
            raise CostError(f"invalid unit of costs {unit!r}: expected {' or '.join(SMALLER)}")
        for name, cost in costs.items():
            if not 0 < cost < math.inf:
                raise CostError(f"the cost of {name!r} is {cost}; it must be a positive number of {unit}")
        self._costs, self.unit, self.source, self.measured_by = dict(costs), unit, source, dict(measured_by or {})

    def __getitem__(self, name: str) -> float:
        return self._costs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._costs)

    def __len__(self) -> int:
        return len(self._costs)

    def only(self, names: Sequence[str]) -> Self:
        """Return the costs of some backbones.

        Raises:
            CostError: a backbone has none.
        """
        missing = [name for name in names if name not in self]
        if missing:
            raise CostError(
                f"no cost for {', '.join(missing)} ({self.source}); there are costs for {', '.join(self) or 'none'}"
            )
        return type(self)({name: self[name] for name in names}, self.unit, self.source, self.measured_by)

    def shown(self) -> tuple[float, str]:
        """Return the (factor, unit) to show the costs in: a thousandth of the unit where no cost reaches one."""
        return (1000.0, SMALLER[self.unit]) if max(self.values()) < 1 else (1.0, self.unit)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a costs file: JSON of `unit` (GMACs or ms), `source`, and `costs` by backbone.

        Raises:
            CostError: it is missing or has another format.
        """
        try:
            content = _File.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            raise CostError(
                f'{path}: expected JSON such as {{"unit": "ms", "source": "…", "costs": {{"NAME": 1.5}}}} ({error})'
            ) from error
        return cls(content.costs, content.unit, content.source, content.measured_by)

    def write(self, path: Path) -> None:
        """Write a costs file."""
        content = _File(unit=self.unit, source=self.source, costs=self._costs, measured_by=self.measured_by)
        write_text_whole(path, content.model_dump_json(indent=1))
