"""Backbones that are ONNX files: our preprocessing before the file's graph, a softmax behind it where it has none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from build_engines.errors import PoolError
from build_engines.export.onnx_file import Floats, OnnxFile
from build_engines.export.onnx_macs import count_gmacs, count_parameters, uncountable
from build_engines.export.onnx_merge import LEAST_PROBABILITY, merge
from build_engines.export.preprocessing import DataConfig, KeptClasses, Preprocessing, ServedBackbone
from build_engines.export.source_model import SourceModel
from build_engines.export.torch_to_onnx import to_onnx
from build_engines.images.samples import sample_canvases
from build_engines.pool.schema import Channels, OnnxBackbone, Pool


class InputLayout(nn.Module):
    """The permutation of FP32 [B, 3, H, W] in RGB to a file's channel order and layout."""

    def __init__(self, backbone: OnnxBackbone) -> None:
        super().__init__()
        self._is_bgr, self._is_nhwc = backbone.colours == "BGR", backbone.layout == "NHWC"

    def forward(self, pixels: Tensor) -> Tensor:
        """Permute a batch of images."""
        if self._is_bgr:
            pixels = pixels.flip(1)
        return pixels.permute(0, 2, 3, 1) if self._is_nhwc else pixels


class OnnxModule(nn.Module):
    """The file itself, run by ONNX Runtime: FP32 [B, 3, H, W] in RGB to logits [B, C]."""

    def __init__(self, file: OnnxFile, backbone: OnnxBackbone) -> None:
        super().__init__()
        self._file, self._session, self._layout = file, file.session(), InputLayout(backbone)
        self._has_logits = backbone.output == "logits"
        self._smallest = LEAST_PROBABILITY if backbone.drop_class is not None else 0.0

    def answers(self, pixels: Tensor) -> Floats:
        """Return the file's own output, FP32 [B, C]."""
        return self._file.run(self._session, self._layout(pixels).contiguous().numpy())

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits; the logarithms of probabilities are logits too."""
        answers = torch.from_numpy(self.answers(pixels))
        return answers if self._has_logits else answers.clamp(min=self._smallest).log()


@dataclass(frozen=True)
class OnnxSource:
    """An ONNX file of the user's; see `BackboneSource`."""

    pool: Pool
    backbone: OnnxBackbone

    @property
    def weights(self) -> str:
        """The name of the file."""
        return self.backbone.onnx

    @property
    def licence(self) -> str | None:
        """None: the file does not say."""
        return None

    def check(self) -> None:
        """Check the file as far as that takes no time.

        Raises:
            WeightsError: it is missing, or not what the pool file says.
        """
        OnnxFile(self.pool, self.backbone)

    def open(self) -> SourceModel:
        """Read the file and return the network, ready to be exported.

        Raises:
            WeightsError: the file is missing, not what the pool file says, of an opset that cannot be converted, or
                has operators whose cost is unknown while the pool file gives none.
        """
        file, data = OnnxFile(self.pool, self.backbone), self.data_config()
        preprocessing, module = Preprocessing(self.pool.canvas, data), OnnxModule(file, self.backbone)
        with torch.inference_mode():
            images = torch.from_numpy(sample_canvases(self.pool.canvas)[::8])
            file.check_answers(module.answers(preprocessing(images)))
        kept = module if self.backbone.drop_class is None else KeptClasses(module, self.backbone.kept_classes)
        before = nn.Sequential(preprocessing, InputLayout(self.backbone)).eval()
        return SourceModel(
            served=ServedBackbone(preprocessing, kept).eval(),
            data=data,
            gmacs=self.gmacs(),
            graph=lambda: merge(to_onnx(before, self.pool.canvas, "pixels"), file, self.backbone),
        )

    def torch_module(self) -> ServedBackbone:
        """Raise PoolError: PyTorch cannot export what it does not run itself."""
        raise PoolError(f"backbone {self.backbone.name!r} is the ONNX file {self.backbone.onnx}, not a PyTorch module")

    def data_config(self) -> DataConfig:
        """Return the preprocessing that the pool file names, for pixels in 0..1 and RGB."""
        return DataConfig(
            input_size=self.backbone.input_size,
            crop_pct=self.backbone.crop_pct or 1.0,
            interpolation=self.backbone.interpolation or "bicubic",
            mean=self._in_rgb(self.backbone.mean or (0.0, 0.0, 0.0)),
            std=self._in_rgb(self.backbone.std or (1.0, 1.0, 1.0)),
        )

    def gmacs(self) -> float:
        """Return the cost of one image, given by the pool file or else counted, in units of 10⁹ multiply-accumulates.

        Raises:
            WeightsError: the file cannot be used, or its cost cannot be counted.
        """
        if self.backbone.gmacs is not None:
            return self.backbone.gmacs
        file, side = OnnxFile(self.pool, self.backbone), self.backbone.input_size
        unknown = uncountable(file.model)
        if unknown:
            raise file.error(f"has operators whose cost cannot be counted ({', '.join(unknown)}); write `gmacs: ...`")
        shape = (1, 3, side, side) if self.backbone.layout == "NCHW" else (1, side, side, 3)
        return count_gmacs(file.model, np.zeros(shape, np.float32))

    def parameters(self) -> int:
        """Count the numbers that the file's weights consist of."""
        return count_parameters(OnnxFile(self.pool, self.backbone).model)

    def _in_rgb(self, channels: Channels) -> Channels:
        """Convert a value of each channel, as the pool file gives it, to pixels in 0..1 and RGB."""
        first, second, third = (value / self.backbone.value_range for value in channels)
        return (third, second, first) if self.backbone.colours == "BGR" else (first, second, third)
