"""Atomic writes of files and folders, and hashes to recognise them by."""

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
    """Write a file atomically: `write` fills a temporary file, which is renamed into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(path)
    temporary = _temporary(path, "partial")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_whole(path, lambda temporary: _write_text(temporary, text))


def write_folder_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Replace a folder as a whole: `write` fills a temporary one; an interruption leaves either the old or the new."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(folder)
    temporary = _temporary(folder, "partial")
    temporary.mkdir()
    try:
        write(temporary)
        if folder.exists():
            folder.rename(_temporary(folder, OLD))
        temporary.rename(folder)
    finally:
        clear_leftovers(folder)


def clear_leftovers(path: Path) -> None:
    """Remove the temporary files of killed processes; what such a process had moved out of the way is moved back."""
    for leftover in list(_find_leftovers(path)):
        if leftover.suffix == f".{OLD}" and not path.exists():
            with suppress(OSError):  # another process was faster
                leftover.rename(path)
        elif leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        PoolError: it is missing or is not text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")  # editors on Windows write a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        raise PoolError(f"cannot read {path}: {error}") from error


def _temporary(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{kind}")


def _find_leftovers(path: Path) -> Iterator[Path]:
    """Find the temporary paths of this process and of those that have ended."""
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
    except PermissionError:  # another user's
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
