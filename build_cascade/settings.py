"""What was set by hand in the cascade.json that a new one replaces: how it is served, not what was chosen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cascade_core.spec import Cascade, SpecError, read_cascade

SET_BY_HAND = ("mode", "max_batch_size", "serving")


def keep_settings(cascade: Cascade, replaced: Path) -> tuple[Cascade, str]:
    """Return a new cascade with the settings of the file that it replaces, and what to tell of them.

    Args:
        cascade: As it was chosen, with default settings.
        replaced: The cascade.json there, or none.
    """
    if not replaced.is_file():
        return cascade, ""
    try:
        before = read_cascade(replaced)
    except SpecError as error:
        return cascade, f"nothing is kept of the file before, which is not valid: {error}"
    kept = {name: getattr(before, name) for name in SET_BY_HAND if getattr(before, name) != getattr(cascade, name)}
    told = f"kept of the file before: {', '.join(_in_words(name, value) for name, value in kept.items())}"
    return dataclasses.replace(cascade, **kept), told if kept else ""


def _in_words(name: str, value: object) -> str:
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return f"{name} {value}"
    changed = [f for f in dataclasses.fields(value) if getattr(value, f.name) != f.default]
    return f"{name} ({', '.join(f'{f.name} {getattr(value, f.name)}' for f in changed)})"
