"""timm's catalogue of architectures and pretrained weights, and what to do where these cannot be downloaded."""

from __future__ import annotations

import difflib

import timm

from build_engines.errors import PoolError, WeightsError
from build_engines.pool.schema import Backbone, Pool, TimmBackbone


def require_timm(backbone: Backbone) -> TimmBackbone:
    """Return a backbone that is a timm architecture.

    Raises:
        PoolError: it is not, so that it can be neither created nor trained here.
    """
    if not isinstance(backbone, TimmBackbone):
        raise PoolError(f"backbone {backbone.name!r} is the file {backbone.source}, not a timm architecture")
    return backbone


def check_architecture(backbone: TimmBackbone) -> None:
    """Check that timm knows the architecture, and its tag if it has one.

    Raises:
        PoolError: it does not; the message names the closest matches.
    """
    name, dot, tag = backbone.architecture.partition(".")
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() lists them all"
        raise PoolError(f"backbone {backbone.name!r}: timm has no architecture {backbone.architecture!r}; {hint}")
    known = timm.list_models(f"{name}.*", include_tags=True)
    if dot and backbone.architecture not in known:
        raise PoolError(f"backbone {backbone.name!r}: timm's {name} has no tag {tag!r}; it has {', '.join(known)}")


def pretrained_licence(backbone: TimmBackbone) -> str | None:
    """Return the licence that timm names for the pretrained weights; None for other weights, or where it names none."""
    config = timm.get_pretrained_cfg(backbone.architecture) if backbone.is_pretrained else None
    return (config.license or None) if config is not None else None


def check_pretrained(backbone: TimmBackbone) -> None:
    """Check, without a network, that timm has pretrained weights of the architecture, of as many classes.

    Raises:
        WeightsError: it has none.
    """
    config = timm.get_pretrained_cfg(backbone.architecture)
    if config is None or not config.has_weights:
        known = ", ".join(timm.list_pretrained(f"{backbone.architecture.split('.')[0]}.*"))
        hint = f"it has {known}; name one of them, or" if known else "it has none of this architecture;"
        raise WeightsError(
            f"backbone {backbone.name!r}: timm has no pretrained weights {backbone.architecture}; {hint} give your own "
            "safetensors file as its weights"
        )
    if config.num_classes != backbone.classes:
        raise WeightsError(
            f"backbone {backbone.name!r}: the pretrained weights have {config.num_classes} classes, the pool file says "
            f"{backbone.classes}; give a fine-tuned safetensors file as its weights"
        )


def download_error(pool: Pool, backbone: TimmBackbone, cause: str) -> WeightsError:
    """Return the error for a download that failed; it says where the file is, and where to put it."""
    source = timm.get_pretrained_cfg(backbone.architecture).hf_hub_id
    file = f"{backbone.architecture}.safetensors"
    return WeightsError(
        f"backbone {backbone.name!r}: its pretrained weights cannot be downloaded ({cause}); download "
        f"https://huggingface.co/{source}/resolve/main/model.safetensors elsewhere, put it at {pool.folder / file} and "
        f"write `weights: {file}`"
    )
