"""Write files and folders whole or not at all, and recognise them again."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from build_engines.errors import PoolError


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file aside, then rename it into place; an interruption leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
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
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        write(aside)
        if folder.exists():
            folder.rename(old)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        PoolError: it is missing or no text.
    """
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise PoolError(f"cannot read {path}: {error}") from error


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(*parts: str) -> str:
    """Return one SHA-256 over several texts, in hexadecimal."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
