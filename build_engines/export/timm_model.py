"""timm architectures as PyTorch modules, with the weights that a pool file names."""

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

from build_engines.errors import PoolError, WeightsError
from build_engines.export.preprocessing import DataConfig
from build_engines.export.timm_catalog import check_architecture, check_pretrained, download_error, require_timm
from build_engines.pool.schema import Backbone, Pool, TimmBackbone

MAX_CAUSE_LENGTH = 300  # torch lists every parameter
CONVERT = (
    "weights are read from safetensors only: convert others with "
    "safetensors.torch.save_file(torch.load('FILE', weights_only=True), 'FILE.safetensors')"
)


def create(backbone: Backbone, *, pretrained: bool = False) -> nn.Module:
    """Create the architecture in evaluation mode, with timm's pretrained weights or random ones.

    Raises:
        PoolError: an architecture that timm does not know, or arguments it does not take.
    """
    known = require_timm(backbone)
    check_architecture(known)
    arguments = _image_size(known) | known.arguments
    try:
        model = timm.create_model(known.architecture, pretrained=pretrained, num_classes=known.classes, **arguments)
    except (TypeError, ValueError, AssertionError) as error:
        raise PoolError(f"backbone {known.name!r}: {known.architecture} rejects {arguments}: {error}") from error
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


def check_weights_file(pool: Pool, backbone: Backbone) -> None:
    """Check that a backbone's own weights exist.

    Raises:
        WeightsError: they do not.
    """
    path = pool.weights_file(backbone)
    if backbone.has_file and not path.is_file():
        raise WeightsError(f"backbone {backbone.name!r}: no weights at {path}; train it or put the file there")


def _image_size(backbone: TimmBackbone) -> dict[str, Any]:
    """Architectures of one fixed input size (ViT) need it as an argument; the others take any."""
    config = timm.get_pretrained_cfg(backbone.architecture)
    fixed = config is not None and config.fixed_input_size
    return {"img_size": backbone.input_size} if fixed else {}


def _fetch(pool: Pool, backbone: TimmBackbone) -> nn.Module:
    check_architecture(backbone)
    check_pretrained(backbone)
    try:
        return create(backbone, pretrained=True)
    except PoolError:
        raise
    except Exception as error:  # timm and what it downloads with raise their own, unrelated types
        raise download_error(pool, backbone, str(error)[:MAX_CAUSE_LENGTH]) from error


def _fill(pool: Pool, backbone: TimmBackbone, model: nn.Module) -> None:
    weights = _read_weights(pool, backbone)
    try:
        model.load_state_dict(_at_input_size(weights, model))
    except Exception as error:  # torch and timm raise their own, unrelated types
        raise WeightsError(
            f"backbone {backbone.name!r}: {pool.weights_file(backbone)} does not fit {backbone.architecture}: "
            f"{str(error)[:MAX_CAUSE_LENGTH]}"
        ) from error


def _read_weights(pool: Pool, backbone: TimmBackbone) -> dict[str, Tensor]:
    check_weights_file(pool, backbone)
    path = pool.weights_file(backbone)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(
            f"backbone {backbone.name!r}: {path} is not a safetensors file ({error}); {CONVERT}"
        ) from error
    except OSError as error:
        raise WeightsError(f"backbone {backbone.name!r}: cannot read {path}: {error}") from error


def _at_input_size(weights: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Resample a ViT's position embeddings to the model's input size, as timm does for its pretrained weights."""
    own, given = getattr(model, "pos_embed", None), weights.get("pos_embed")
    if own is None or given is None or own.shape == given.shape:
        return weights
    grid = list(cast(Any, model).patch_embed.grid_size)
    class_tokens = own.shape[1] - math.prod(grid)
    return weights | {"pos_embed": resample_abs_pos_embed(given, grid, num_prefix_tokens=class_tokens)}
