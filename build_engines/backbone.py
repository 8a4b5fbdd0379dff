"""timm architectures with their weights, as a pool file names them."""

from __future__ import annotations

import difflib
import math
from typing import Any, cast

import timm
import torch
from safetensors.torch import load_file
from timm.data import resolve_model_data_config
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from build_engines.errors import PoolError, WeightsError
from build_engines.pool import Backbone, Pool
from build_engines.preprocessing import DataConfig, Preprocessing, ServedBackbone

LONGEST_CAUSE = 300  # torch lists every parameter


def check_architecture(backbone: Backbone) -> None:
    """Check that timm knows the architecture.

    Raises:
        PoolError: it does not; the message names the nearest ones.
    """
    name = backbone.architecture.split(".")[0]
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() names them all"
        raise PoolError(f"backbone {backbone.name!r}: timm has no architecture {backbone.architecture!r}; {hint}")


def check_weights_file(pool: Pool, backbone: Backbone) -> None:
    """Check that a backbone's own weights are there.

    Raises:
        WeightsError: they are not.
    """
    path = pool.weights_file(backbone)
    if not backbone.is_pretrained and not path.is_file():
        raise WeightsError(f"backbone {backbone.name!r}: no weights at {path}; train it or put the file there")


def create(backbone: Backbone, *, pretrained: bool = False) -> nn.Module:
    """Create the architecture in evaluation mode, with timm's pretrained weights or random ones.

    Raises:
        PoolError: unknown architecture, or arguments it does not take.
        WeightsError: timm has no pretrained weights of it, or cannot fetch them.
    """
    check_architecture(backbone)
    arguments = backbone.arguments
    try:
        arguments = _image_size(backbone) | arguments
        model = timm.create_model(
            backbone.architecture, pretrained=pretrained, num_classes=backbone.classes, **arguments
        )
    except (TypeError, ValueError, AssertionError) as error:
        raise PoolError(f"backbone {backbone.name!r}: {backbone.architecture} refuses {arguments}: {error}") from error
    except (RuntimeError, OSError) as error:
        raise WeightsError(
            f"backbone {backbone.name!r}: no pretrained weights of {backbone.architecture}: {error}; "
            "download them elsewhere and name the safetensors file as its weights"
        ) from error
    return cast(nn.Module, model.eval())


def load(pool: Pool, backbone: Backbone) -> nn.Module:
    """Create a backbone with its weights, in evaluation mode.

    Raises:
        PoolError: unknown architecture or arguments.
        WeightsError: the weights are missing, cannot be read, or are those of another model.
    """
    model = create(backbone, pretrained=backbone.is_pretrained)
    if backbone.is_pretrained:
        _check_pretrained_classes(backbone, model)
        return model
    check_weights_file(pool, backbone)
    path = pool.weights_file(backbone)
    try:
        model.load_state_dict(_at_input_size(load_file(path), model))
    except Exception as error:  # safetensors and torch raise their own, unrelated types
        raise WeightsError(
            f"backbone {backbone.name!r}: {path} does not fit {backbone.architecture}: {str(error)[:LONGEST_CAUSE]}"
        ) from error
    return model


def data_config(backbone: Backbone, model: nn.Module) -> DataConfig:
    """Return the preprocessing of a backbone: timm's `pretrained_cfg`, then the pool file's overrides."""
    timm_config = resolve_model_data_config(model)
    given = backbone.model_dump(include={"mean", "std", "crop_pct", "interpolation"}, exclude_none=True)
    return DataConfig(
        input_size=backbone.input_size,
        **{key: timm_config[key] for key in ("mean", "std", "crop_pct", "interpolation")} | given,
    )


def served(pool: Pool, backbone: Backbone) -> ServedBackbone:
    """Return the whole graph that Triton serves: canvas in, probabilities out.

    Raises:
        PoolError: unknown architecture or arguments.
        WeightsError: the weights are missing or do not fit.
    """
    model = load(pool, backbone)
    return ServedBackbone(Preprocessing(pool.canvas, data_config(backbone, model)), model).eval()


def gmacs(backbone: Backbone) -> float:
    """Count the multiply-accumulates of one image, in units of 10⁹, attention's matrix products included.

    Counted by torch's flop counter (two flops a multiply-accumulate) on the meta device: no weights are needed.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        create(backbone)(torch.empty(1, 3, backbone.input_size, backbone.input_size))
    return float(counter.get_total_flops() / 2e9)


def _image_size(backbone: Backbone) -> dict[str, Any]:
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


def _check_pretrained_classes(backbone: Backbone, model: nn.Module) -> None:
    pretrained_classes = cast(dict[str, Any], model.pretrained_cfg)["num_classes"]
    if pretrained_classes != backbone.classes:
        raise WeightsError(
            f"backbone {backbone.name!r}: the pretrained weights have {pretrained_classes} classes, the pool file says "
            f"{backbone.classes}; name a fine-tuned safetensors file as its weights"
        )
