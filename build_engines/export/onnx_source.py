"""Backbones that are ONNX files: our preprocessing before the file's graph, a softmax behind it where it has none."""

from __future__ import annotations

import numpy as np
import torch
from onnx import ModelProto, TensorProto, compose, helper, shape_inference, version_converter
from torch import Tensor, nn

from build_engines.export import onnx_macs as onnx_costs
from build_engines.export.onnx_file import Floats, OnnxFile
from build_engines.export.preprocessing import DataConfig, Preprocessing, ServedBackbone
from build_engines.export.source import Model
from build_engines.export.torch_to_onnx import OPSET, strip_local_paths, to_onnx
from build_engines.images.samples import sample_canvases
from build_engines.pool.schema import Channels, OnnxBackbone, Pool

PREFIX = "backbone/"  # before every name of the file's graph: it may have an `image` of its own


class Arrange(nn.Module):
    """Bring FP32 [B, 3, H, W] in RGB into a file's order of colours and layout."""

    def __init__(self, backbone: OnnxBackbone) -> None:
        super().__init__()
        self._is_bgr, self._is_nhwc = backbone.colours == "BGR", backbone.layout == "NHWC"

    def forward(self, pixels: Tensor) -> Tensor:
        """Arrange a batch of images."""
        if self._is_bgr:
            pixels = pixels.flip(1)
        return pixels.permute(0, 2, 3, 1) if self._is_nhwc else pixels


class Runner(nn.Module):
    """Run the file itself, by ONNX Runtime: FP32 [B, 3, H, W] in RGB to logits [B, C]."""

    def __init__(self, file: OnnxFile, backbone: OnnxBackbone) -> None:
        super().__init__()
        self._file, self._session, self._arrange = file, file.session(), Arrange(backbone)
        self._has_logits = backbone.output == "logits"

    def answers(self, pixels: Tensor) -> Floats:
        """Return what the file answers, FP32 [B, C]."""
        return self._file.run(self._session, self._arrange(pixels).contiguous().numpy())

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits; the logarithms of probabilities are such."""
        answers = torch.from_numpy(self.answers(pixels))
        return answers if self._has_logits else answers.clamp(min=0).log()


def check_source(pool: Pool, backbone: OnnxBackbone) -> None:
    """Check a file as far as that takes no time.

    Raises:
        WeightsError: it is missing, or not what the pool file says.
    """
    OnnxFile(pool, backbone)


def open_model(pool: Pool, backbone: OnnxBackbone) -> Model:
    """Return a backbone ready to be exported.

    Raises:
        WeightsError: the file is missing, not what the pool file says, of an opset that cannot be converted, or of
            operators whose cost is unknown while the pool file gives none.
    """
    file, data = OnnxFile(pool, backbone), data_config(backbone)
    preprocessing = Preprocessing(pool.canvas, data)
    runner = Runner(file, backbone)
    with torch.inference_mode():
        file.check_answers(runner.answers(preprocessing(torch.from_numpy(sample_canvases(pool.canvas)[::8]))))
    before = nn.Sequential(preprocessing, Arrange(backbone)).eval()
    return Model(
        served=ServedBackbone(preprocessing, runner).eval(),
        data=data,
        gmacs=gmacs(pool, backbone),
        graph=lambda: _join(to_onnx(before, pool.canvas, "pixels"), file, backbone),
    )


def data_config(backbone: OnnxBackbone) -> DataConfig:
    """Return the preprocessing that the pool file says, of pixels in 0..1 and RGB."""
    return DataConfig(
        input_size=backbone.input_size,
        crop_pct=backbone.crop_pct or 1.0,
        interpolation=backbone.interpolation or "bicubic",
        mean=_in_rgb(backbone, backbone.mean or (0.0, 0.0, 0.0)),
        std=_in_rgb(backbone, backbone.std or (1.0, 1.0, 1.0)),
    )


def gmacs(pool: Pool, backbone: OnnxBackbone) -> float:
    """Return the cost of one image as the pool file says, or else counted, in units of 10⁹ multiply-accumulates.

    Raises:
        WeightsError: the file cannot be used, or its cost not be counted.
    """
    if backbone.gmacs is not None:
        return backbone.gmacs
    file, side = OnnxFile(pool, backbone), backbone.input_size
    unknown = onnx_costs.uncountable(file.model)
    if unknown:
        raise file.error(f"has operators whose cost cannot be counted ({', '.join(unknown)}); write `gmacs: ...`")
    shape = (1, 3, side, side) if backbone.layout == "NCHW" else (1, side, side, 3)
    return onnx_costs.count_gmacs(file.model, np.zeros(shape, np.float32))


def parameters(pool: Pool, backbone: OnnxBackbone) -> int:
    """Count the numbers that the file's weights are."""
    return onnx_costs.parameters(OnnxFile(pool, backbone).model)


def _in_rgb(backbone: OnnxBackbone, channels: Channels) -> Channels:
    """Return what a pool file says of each channel, for pixels in 0..1 and RGB."""
    first, second, third = (value / backbone.value_range for value in channels)
    return (third, second, first) if backbone.colours == "BGR" else (first, second, third)


def _join(before: ModelProto, file: OnnxFile, backbone: OnnxBackbone) -> ModelProto:
    """Return one graph, `image` to `probabilities`, of our preprocessing and the file's graph."""
    body = _at_opset(file)
    strip_local_paths(body)
    del body.graph.value_info[:]  # sizes said there may be those of one batch
    before = version_converter.convert_version(before, _opset(body))
    before.ir_version = body.ir_version = max(before.ir_version, body.ir_version)
    body = compose.add_prefix(body, PREFIX)
    joint = compose.merge_models(before, body, io_map=[("pixels", PREFIX + file.input)])
    _finish(joint, PREFIX + file.output, backbone)
    return shape_inference.infer_shapes(joint)


def _finish(joint: ModelProto, answers: str, backbone: OnnxBackbone) -> None:
    """Make `probabilities` of the file's answers."""
    graph = joint.graph
    if backbone.output == "logits":
        graph.node.append(helper.make_node("Softmax", [answers], ["probabilities"], axis=1))
    else:
        _rename(joint, answers, "probabilities")
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", backbone.classes]))


def _rename(model: ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _at_opset(file: OnnxFile) -> ModelProto:
    """Return the file's graph at our opset, or at its own if that is later."""
    opset = _opset(file.model)
    if opset >= OPSET:
        copy = ModelProto()
        copy.CopyFrom(file.model)
        return copy
    try:
        return version_converter.convert_version(file.model, OPSET)
    except Exception as error:  # the converter's errors have no common type
        raise file.error(
            f"is of opset {opset}, which cannot be converted to {OPSET} ({error}); export it anew with opset {OPSET}"
        ) from error


def _opset(model: ModelProto) -> int:
    return next(entry.version for entry in model.opset_import if entry.domain in onnx_costs.STANDARD)
