"""Backbones that are timm architectures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from build_engines.errors import PoolError
from build_engines.export.preprocessing import DataConfig, KeptClasses, Preprocessing, ServedBackbone
from build_engines.export.random_weights import calibrate_random_weights
from build_engines.export.source_model import SourceModel
from build_engines.export.timm_catalog import check_architecture, check_pretrained, pretrained_licence
from build_engines.export.timm_model import MAX_CAUSE_LENGTH, check_weights_file, create, data_config, load
from build_engines.export.torch_to_onnx import to_onnx
from build_engines.images.samples import sample_canvases
from build_engines.pool.schema import Pool, TimmBackbone
from cascade_core.contract import PROBABILITIES


@dataclass(frozen=True)
class TimmSource:
    """A timm architecture with the weights that the pool file names; see `BackboneSource`."""

    pool: Pool
    backbone: TimmBackbone

    @property
    def weights(self) -> str:
        """The architecture with its tag for pretrained weights, or else the weights of the pool file."""
        return self.backbone.architecture if self.backbone.is_pretrained else self.backbone.weights

    @property
    def licence(self) -> str | None:
        """The licence that timm names for pretrained weights."""
        return pretrained_licence(self.backbone)

    def check(self) -> None:
        """Check that the backbone can be created, as far as that takes no time.

        Raises:
            PoolError: unknown architecture or tag.
            WeightsError: the weights file is missing, or timm has no such pretrained weights.
        """
        check_architecture(self.backbone)
        check_weights_file(self.pool, self.backbone)
        if self.backbone.is_pretrained:
            check_pretrained(self.backbone)

    def open(self) -> SourceModel:
        """Load the weights and return the network, ready to be exported.

        Raises:
            PoolError: unknown architecture or arguments.
            WeightsError: the weights are missing or do not fit.
        """
        gmacs = self.gmacs()  # first: it takes no time, and finds an input size that does not work
        served, data = self._served()
        return SourceModel(served, data, gmacs, lambda: to_onnx(served, self.pool.canvas, PROBABILITIES.name))

    def torch_module(self) -> ServedBackbone:
        """Return the whole graph that Triton serves as a PyTorch module: canvas in, probabilities out.

        Raises:
            PoolError: unknown architecture or arguments.
            WeightsError: the weights are missing or do not fit.
        """
        return self._served()[0]

    def gmacs(self) -> float:
        """Count the multiply-accumulates of one image, in units of 10⁹, attention's matrix products included.

        Counted by torch's flop counter (two flops a multiply-accumulate) on the meta device: no weights are needed.

        Raises:
            PoolError: unknown architecture or arguments, or it takes no images of this size.
        """
        size = self.backbone.input_size
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            model = create(self.backbone)
            try:
                model(torch.empty(1, 3, size, size))
            except (RuntimeError, ValueError, AssertionError) as error:
                raise PoolError(
                    f"backbone {self.backbone.name!r}: {self.backbone.architecture} takes no images of input_size "
                    f"{size}: {str(error)[:MAX_CAUSE_LENGTH]}; choose another, most likely a larger one"
                ) from error
        return float(counter.get_total_flops() / 2e9)

    def parameters(self) -> int:
        """Count the numbers that the weights consist of."""
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in create(self.backbone).parameters())

    def _served(self) -> tuple[ServedBackbone, DataConfig]:
        model = load(self.pool, self.backbone)
        data = data_config(self.backbone, model)
        preprocessing = Preprocessing(self.pool.canvas, data)
        if self.backbone.is_random:
            images = torch.from_numpy(sample_canvases(self.pool.canvas)[::4])
            calibrate_random_weights(model, preprocessing(images))
        if self.backbone.drop_class is not None:
            model = KeptClasses(model, self.backbone.kept_classes)
        return ServedBackbone(preprocessing, model).eval(), data
