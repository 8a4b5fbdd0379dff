"""The pools that are measured: the real one, and the real one together with the EfficientNet-Lites."""

from __future__ import annotations

from pathlib import Path

from build_engines.pool.schema import AnyBackbone, OnnxBackbone, Pool, load_pool


def together(name: str, pools: list[Pool]) -> Pool:
    """Return one pool of the backbones of several, on the largest of their canvases.

    Raises:
        SystemExit: they do not have the same labels in the same order.
    """
    first = pools[0]
    if any(pool.labels != first.labels for pool in pools):
        raise SystemExit(f"{', '.join(pool.name for pool in pools)} have different labels: they cannot be one pool")
    backbones = tuple(_absolute(pool, backbone) for pool in pools for backbone in pool.backbones)
    canvas = max(pool.canvas for pool in pools)
    return Pool(
        name=name, canvas=canvas, labels=first.labels, backbones=backbones, folder=first.folder, sha256=first.sha256
    )


def only(pool: Pool, names: tuple[str, ...]) -> Pool:
    """Return a pool of some of the backbones."""
    return pool.model_copy(update={"backbones": tuple(one for one in pool.backbones if one.name in names)})


def studies(real: Path, lite: Path, quick: tuple[str, ...] | None) -> tuple[list[Pool], str]:
    """Return the pools to measure, and a note on what is left out.

    Args:
        real: The pool file of the nine ONNX classifiers.
        lite: That of the EfficientNet-Lites.
        quick: Names of the only backbones to use; None for all, and both pools.
    """
    pool = load_pool(real)
    if quick is not None:
        return [only(together("imagenet-served-quick", [pool]), quick)], "quick: a few networks and images"
    pools = [together("imagenet-served-nine", [pool])]
    if not lite.is_file():
        return pools, f"without the EfficientNet-Lites: there is no {lite}"
    second = load_pool(lite)
    missing = [one.name for one in second.backbones if one.has_file and not second.weights_file(one).is_file()]
    if missing:
        return pools, f"without the EfficientNet-Lites: no weights of {', '.join(missing)}; make demo converts them"
    return [*pools, together("imagenet-served-all", [pool, second])], ""


def _absolute(pool: Pool, backbone: AnyBackbone) -> AnyBackbone:
    if not backbone.has_file:
        return backbone
    field = "onnx" if isinstance(backbone, OnnxBackbone) else "weights"
    return backbone.model_copy(update={field: str(pool.weights_file(backbone))})
