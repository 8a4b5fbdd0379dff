"""Write files and folders whole or not at all, and recognise them again."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from build_engines.errors import PoolError

OLD = "old"


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file aside, then rename it into place; an interruption leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(path)
    aside = _beside(path, "partial")
    try:
        write(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_whole(path, lambda aside: _write_text(aside, text))


def write_folder_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder aside, then swap it in for the old one; an interruption leaves either."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(folder)
    aside = _beside(folder, "partial")
    aside.mkdir()
    try:
        write(aside)
        if folder.exists():
            folder.rename(_beside(folder, OLD))
        aside.rename(folder)
    finally:
        clear_leftovers(folder)


def clear_leftovers(path: Path) -> None:
    """Remove what killed processes left beside a file or folder; what they took out of its place goes back there."""
    for leftover in list(_leftovers(path)):
        if leftover.suffix == f".{OLD}" and not path.exists():
            with suppress(OSError):  # another process was first
                leftover.rename(path)
        elif leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        PoolError: it is missing or no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")  # editors on Windows begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise PoolError(f"cannot read {path}: {error}") from error


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{kind}")


def _leftovers(path: Path) -> Iterator[Path]:
    """Find what `_beside` named in this process, or in one that is no more."""
    named = re.compile(rf"\.{re.escape(path.name)}\.(\d{{1,7}})\.(partial|{OLD})")
    for other in path.parent.glob(".*"):
        found = named.fullmatch(other.name)
        if found and not _is_another_alive(int(found[1])):
            yield other


def _is_another_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return pid != os.getpid()


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(*parts: str) -> str:
    """Return one SHA-256 over several texts, in hexadecimal."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
