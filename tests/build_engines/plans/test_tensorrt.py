"""TensorRT's Python API: what it refuses is a message with its reason."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from build_engines.errors import PlanError
from build_engines.plans import tensorrt
from tests.support.plans import OPTIONS


def test_tensorrt_missing_or_of_an_unknown_major_is_a_message(monkeypatch):
    monkeypatch.setattr(tensorrt, "MODULES", ("no_such_tensorrt",))
    with pytest.raises(PlanError, match=r"cannot be imported .*make engines"):
        tensorrt.load_tensorrt()
    monkeypatch.setattr(tensorrt.importlib, "import_module", lambda _: SimpleNamespace(__version__="12.0.1"))
    with pytest.raises(PlanError, match=r"12\.0\.1 is not supported; use 10\.x or 11\.x"):
        tensorrt.load_tensorrt()


def test_a_builder_that_gives_nothing_is_a_message_with_its_reason(tmp_path):
    """As where the GPU has no memory for the batch range."""
    trt = MagicMock(__version__="10.13.3.9", ILogger=type("ILogger", (), {"Severity": MagicMock()}))

    def build(*_):
        logger = trt.Builder.call_args.args[0]
        logger.log(trt.ILogger.Severity.ERROR, "Requested amount of GPU memory (42 bytes) could not be allocated.")

    trt.Builder.return_value.build_serialized_network.side_effect = build
    trt.Builder.return_value.create_network.return_value.get_input.return_value.shape = (-1, 8, 8, 3)
    with pytest.raises(PlanError, match=r"GPU memory \(42 bytes\).*lower max_batch_size in the pool file"):
        tensorrt.build_plan(trt, tmp_path / "a.onnx", OPTIONS, b"")
    trt.OnnxParser.return_value.parse_from_file.return_value = False
    trt.OnnxParser.return_value.num_errors = 1
    trt.OnnxParser.return_value.get_error.return_value = "no such operator"
    with pytest.raises(PlanError, match=r"cannot parse .*a\.onnx: no such operator"):
        tensorrt.build_plan(trt, tmp_path / "a.onnx", OPTIONS, b"")


def test_a_damaged_timing_cache_is_replaced(tmp_path):
    trt = MagicMock(__version__="10.13.3.9", ILogger=type("ILogger", (), {"Severity": MagicMock()}))
    trt.Builder.return_value.create_network.return_value.get_input.return_value.shape = (-1, 8, 8, 3)
    trt.Builder.return_value.build_serialized_network.return_value = b"plan"
    config = trt.Builder.return_value.create_builder_config.return_value
    config.create_timing_cache.side_effect = lambda content: None if content == b"damaged" else "empty"
    config.get_timing_cache.return_value.serialize.return_value = b"timings"
    assert tensorrt.build_plan(trt, tmp_path / "a.onnx", OPTIONS, b"damaged") == (b"plan", b"timings")
    config.set_timing_cache.assert_called_once_with("empty", False)
