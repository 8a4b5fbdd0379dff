"""Settings of the cascade.json that a new one replaces: how it is served is set by hand and kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cascade_core.spec import Cascade, SpecError, read_cascade

SET_BY_HAND = ("mode", "max_batch_size", "serving")


def keep_settings(cascade: Cascade, replaced: Path) -> tuple[Cascade, str]:
    """Return a new cascade with the settings of the file that it replaces, and a note on them; empty if there are none.

    Args:
        cascade: The new one, with default settings.
        replaced: The cascade.json that it replaces, which need not exist.
    """
    if not replaced.is_file():
        return cascade, ""
    try:
        before = read_cascade(replaced)
    except SpecError as error:
        return cascade, f"nothing is kept of the previous file, which is invalid: {error}"
    kept = {name: getattr(before, name) for name in SET_BY_HAND if getattr(before, name) != getattr(cascade, name)}
    note = f"kept from the previous file: {', '.join(_in_words(name, value) for name, value in kept.items())}"
    return dataclasses.replace(cascade, **kept), note if kept else ""


def _in_words(name: str, value: object) -> str:
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return f"{name} {value}"
    changed = [f for f in dataclasses.fields(value) if getattr(value, f.name) != f.default]
    return f"{name} ({', '.join(f'{f.name} {getattr(value, f.name)}' for f in changed)})"
