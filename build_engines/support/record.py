"""Records: small JSON files, each beside a file that it describes."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from build_engines.support.atomic_files import write_text_whole


class Record(BaseModel):
    """A JSON file of known fields; a damaged one counts as missing, so that what it describes is made again."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the record in a file, or None if it is missing or damaged."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, path: Path) -> None:
        """Write the record whole or not at all."""
        write_text_whole(path, self.model_dump_json(indent=2))
