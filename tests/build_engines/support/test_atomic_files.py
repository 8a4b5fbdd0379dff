"""What is written is whole or as it was, also after a process that was killed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from build_engines.repository.backbone_entry import write_backbone
from build_engines.repository.cascade_entry import put_cascade
from build_engines.support.atomic_files import write_folder_whole, write_text_whole


@pytest.fixture(scope="module")
def dead():
    """The id of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def put(folder, text="whole"):
    folder.mkdir()
    (folder / "file").write_text(text)


def write(folder):
    (folder / "file").write_text("new")


def fail(folder):
    write(folder)
    raise KeyboardInterrupt


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_leftovers_of_a_killed_process_are_removed(tmp_path, dead):
    for name in ("a", f".a.{dead}.partial", f".a.{dead}.old", f".a.{os.getpid()}.old"):
        put(tmp_path / name)
    (tmp_path / f".t.{dead}.partial").write_text("half")
    write_folder_whole(tmp_path / "a", write)
    write_text_whole(tmp_path / "t", "new")
    assert names(tmp_path) == ["a", "t"]
    assert (tmp_path / "a/file").read_text() == "new"


def test_what_others_are_writing_is_left_alone(tmp_path, dead):
    others = [f".a.{os.getppid()}.partial", f".a.1.{dead}.partial", f".b.{dead}.partial", ".a.1.old", ".a.partial"]
    for name in others:
        put(tmp_path / name)
    write_folder_whole(tmp_path / "a", write)
    assert names(tmp_path) == sorted(["a", *others])


def test_a_folder_that_was_lost_between_two_renames_is_restored(tmp_path, dead):
    put(tmp_path / f".a.{dead}.old")
    put(tmp_path / f".a.{dead}.partial", "half")
    with pytest.raises(KeyboardInterrupt):
        write_folder_whole(tmp_path / "a", fail)
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a/file").read_text() == "whole"


def test_an_interruption_between_the_renames_loses_nothing(tmp_path):
    put(tmp_path / "a")

    def write_and_vanish(folder):
        folder.rmdir()  # so that the second rename fails

    with pytest.raises(FileNotFoundError):
        write_folder_whole(tmp_path / "a", write_and_vanish)
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a/file").read_text() == "whole"


def test_a_repository_is_mended_even_where_nothing_is_written(tiny_build, tmp_path, dead):
    small = tiny_build["small"]
    write_backbone(small, tmp_path, "embedded")
    put_cascade(tmp_path)
    (tmp_path / "cascade/cascade.json").write_text("chosen")
    for name in ("small", "cascade"):
        (tmp_path / name).rename(tmp_path / f".{name}.{dead}.old")
    put(tmp_path / f".small.{dead}.partial")
    assert not write_backbone(small, tmp_path, "embedded").is_new
    put_cascade(tmp_path)
    assert names(tmp_path) == ["cascade", "small"]
    assert (tmp_path / "cascade/cascade.json").read_text() == "chosen"
