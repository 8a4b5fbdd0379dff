"""timm architectures with their weights, as a pool file names them."""

from __future__ import annotations

import math
from typing import Any, cast

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.data import resolve_model_data_config
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from build_engines.errors import PoolError, WeightsError
from build_engines.export.preprocessing import DataConfig, Preprocessing, ServedBackbone
from build_engines.export.random_weights import settle
from build_engines.export.source import Model
from build_engines.export.timm_catalog import check_architecture, check_pretrained, not_fetched, of_timm
from build_engines.export.torch_to_onnx import to_onnx
from build_engines.images.samples import sample_canvases
from build_engines.pool.schema import Backbone, Pool, TimmBackbone

LONGEST_CAUSE = 300  # torch lists every parameter
CONVERT = (
    "weights are read from safetensors only: convert others with "
    "safetensors.torch.save_file(torch.load('FILE', weights_only=True), 'FILE.safetensors')"
)


def check_weights_file(pool: Pool, backbone: Backbone) -> None:
    """Check that a backbone's own weights are there.

    Raises:
        WeightsError: they are not.
    """
    path = pool.weights_file(backbone)
    if backbone.has_file and not path.is_file():
        raise WeightsError(f"backbone {backbone.name!r}: no weights at {path}; train it or put the file there")


def create(backbone: Backbone, *, pretrained: bool = False) -> nn.Module:
    """Create the architecture in evaluation mode, with timm's pretrained weights or random ones.

    Raises:
        PoolError: an architecture that timm does not know, or arguments it does not take.
    """
    known = of_timm(backbone)
    check_architecture(known)
    arguments = _image_size(known) | known.arguments
    try:
        model = timm.create_model(known.architecture, pretrained=pretrained, num_classes=known.classes, **arguments)
    except (TypeError, ValueError, AssertionError) as error:
        raise PoolError(f"backbone {known.name!r}: {known.architecture} refuses {arguments}: {error}") from error
    return cast(nn.Module, model.eval())


def load(pool: Pool, backbone: TimmBackbone) -> nn.Module:
    """Create a backbone with its weights, in evaluation mode.

    Raises:
        PoolError: unknown architecture or arguments.
        WeightsError: the weights are missing, cannot be read or fetched, or are those of another model.
    """
    if backbone.is_pretrained:
        return _fetch(pool, backbone)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model = create(backbone)
    if backbone.has_file:
        _fill(pool, backbone, model)
    return model


def data_config(backbone: Backbone, model: nn.Module) -> DataConfig:
    """Return the preprocessing of a backbone: timm's `pretrained_cfg`, then the pool file's overrides."""
    timm_config = resolve_model_data_config(model)
    given = backbone.model_dump(include={"mean", "std", "crop_pct", "interpolation"}, exclude_none=True)
    return DataConfig(
        input_size=backbone.input_size,
        **{key: timm_config[key] for key in ("mean", "std", "crop_pct", "interpolation")} | given,
    )


def served(pool: Pool, backbone: TimmBackbone) -> ServedBackbone:
    """Return the whole graph that Triton serves: canvas in, probabilities out.

    Raises:
        PoolError: unknown architecture or arguments.
        WeightsError: the weights are missing or do not fit.
    """
    model = load(pool, backbone)
    preprocessing = Preprocessing(pool.canvas, data_config(backbone, model))
    if backbone.is_random:
        settle(model, preprocessing(torch.from_numpy(sample_canvases(pool.canvas)[::4])))
    return ServedBackbone(preprocessing, model).eval()


def open_model(pool: Pool, backbone: TimmBackbone) -> Model:
    """Return a backbone ready to be exported.

    Raises:
        PoolError: unknown architecture or arguments.
        WeightsError: the weights are missing or do not fit.
    """
    cost = gmacs(backbone)  # first: it takes no time, and tells an input size that will not do
    whole = served(pool, backbone)
    data = data_config(backbone, whole.backbone)
    return Model(whole, data, cost, lambda: to_onnx(whole, pool.canvas, "probabilities"))


def check_source(pool: Pool, backbone: TimmBackbone) -> None:
    """Check that a backbone can be made, as far as that takes no time.

    Raises:
        PoolError: unknown architecture or tag.
        WeightsError: the weights file is missing, or timm has no such pretrained weights.
    """
    check_architecture(backbone)
    check_weights_file(pool, backbone)
    if backbone.is_pretrained:
        check_pretrained(backbone)


def parameters(backbone: TimmBackbone) -> int:
    """Count the numbers that the weights are."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in create(backbone).parameters())


def gmacs(backbone: Backbone) -> float:
    """Count the multiply-accumulates of one image, in units of 10⁹, attention's matrix products included.

    Counted by torch's flop counter (two flops a multiply-accumulate) on the meta device: no weights are needed.

    Raises:
        PoolError: unknown architecture or arguments, or it takes no images of this size.
    """
    size = backbone.input_size
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = create(backbone)
        try:
            model(torch.empty(1, 3, size, size))
        except (RuntimeError, ValueError, AssertionError) as error:
            raise PoolError(
                f"backbone {backbone.name!r}: {of_timm(backbone).architecture} takes no images of input_size {size}: "
                f"{str(error)[:LONGEST_CAUSE]}; choose another, most likely a larger one"
            ) from error
    return float(counter.get_total_flops() / 2e9)


def _image_size(backbone: TimmBackbone) -> dict[str, Any]:
    """Architectures of one fixed input size (ViT) are told the size; the others take any."""
    config = timm.get_pretrained_cfg(backbone.architecture)
    fixed = config is not None and config.fixed_input_size
    return {"img_size": backbone.input_size} if fixed else {}


def _at_input_size(weights: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Resample a ViT's position embeddings to the model's input size, as timm does for its pretrained weights."""
    own, given = getattr(model, "pos_embed", None), weights.get("pos_embed")
    if own is None or given is None or own.shape == given.shape:
        return weights
    grid = list(cast(Any, model).patch_embed.grid_size)
    class_tokens = own.shape[1] - math.prod(grid)
    return weights | {"pos_embed": resample_abs_pos_embed(given, grid, num_prefix_tokens=class_tokens)}


def _fetch(pool: Pool, backbone: TimmBackbone) -> nn.Module:
    check_architecture(backbone)
    check_pretrained(backbone)
    try:
        return create(backbone, pretrained=True)
    except PoolError:
        raise
    except Exception as error:  # timm and what it downloads with raise their own, unrelated types
        raise not_fetched(pool, backbone, str(error)[:LONGEST_CAUSE]) from error


def _fill(pool: Pool, backbone: TimmBackbone, model: nn.Module) -> None:
    weights = _read_weights(pool, backbone)
    try:
        model.load_state_dict(_at_input_size(weights, model))
    except Exception as error:  # torch and timm raise their own, unrelated types
        raise WeightsError(
            f"backbone {backbone.name!r}: {pool.weights_file(backbone)} does not fit {backbone.architecture}: "
            f"{str(error)[:LONGEST_CAUSE]}"
        ) from error


def _read_weights(pool: Pool, backbone: TimmBackbone) -> dict[str, Tensor]:
    check_weights_file(pool, backbone)
    path = pool.weights_file(backbone)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"backbone {backbone.name!r}: {path} is no safetensors file ({error}); {CONVERT}") from error
    except OSError as error:
        raise WeightsError(f"backbone {backbone.name!r}: cannot read {path}: {error}") from error
