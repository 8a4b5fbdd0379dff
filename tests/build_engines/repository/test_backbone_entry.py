"""The entry of a backbone: written once, whole or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from build_engines.errors import BuildError
from build_engines.repository.backbone_entry import write_backbone
from tests.support.helpers import CANVAS, CLASSES


def test_a_triton_entry_is_written_once(tiny_build, tmp_path):
    small = tiny_build["small"]
    assert write_backbone(small, tmp_path, "embedded").is_new
    assert not write_backbone(small, tmp_path, "embedded").is_new
    config = text_format.Parse((tmp_path / "small" / "config.pbtxt").read_text(), ModelConfig())
    assert list(config.input[0].dims) == [CANVAS, CANVAS, 3]
    assert list(config.output[0].dims) == [CLASSES]
    assert config.max_batch_size == small.backbone.max_batch_size
    assert config.HasField("dynamic_batching")


def test_an_entry_is_whole_or_as_it_was(tiny_build, tmp_path, monkeypatch):
    small = tiny_build["small"]
    write_backbone(small, tmp_path, "embedded")
    before = (tmp_path / "small" / "config.pbtxt").read_text()
    bigger = replace(small, backbone=small.backbone.model_copy(update={"max_batch_size": 4}))
    monkeypatch.setattr(
        "build_engines.repository.entry.shutil.copyfile", lambda *_: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        write_backbone(bigger, tmp_path, "embedded")
    assert (tmp_path / "small" / "config.pbtxt").read_text() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["small"]


def test_an_unknown_runtime_is_refused(tiny_build, tmp_path):
    with pytest.raises(BuildError, match="known are embedded"):
        write_backbone(tiny_build["small"], tmp_path, "abacus")
