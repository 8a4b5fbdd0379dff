"""The pool of EfficientNet-Lite: how it is exported, and the cascade that ships with it."""

from __future__ import annotations

from pathlib import Path

from build_engines.pool.schema import Pool
from cascade_core.spec import Cascade, SpecError, read_cascade
from examples.common import console, run

POOL_FILE = Path("pools/efficientnet-lite.yaml")
SHIPPED = Path("pools/efficientnet-lite.cascade.json")
REPOSITORY = Path("model_repository")
REMAKE = "remake it with python -m examples.imagenet.choose IMAGES"


def export(pool: Pool) -> None:
    """Convert the weights and export every backbone, where that is not up to date.

    Raises:
        WeightsError: a package of weights is missing, of another version, or does not fit.
    """
    console.rule("convert the weights of EfficientNet-Lite")
    from examples.imagenet.weights import convert_missing  # noqa: PLC0415 (torch takes seconds)

    for path, is_new in convert_missing(pool).items():
        console.print(f"{path}: {'written' if is_new else 'reused'}", soft_wrap=True)
    run("build-engines", "export", POOL_FILE)


def read_shipped(path: Path, pool: Pool) -> Cascade:
    """Read the cascade that ships with a pool.

    Raises:
        SpecError: it is missing or invalid, or was chosen from another version of the pool file.
    """
    cascade = read_cascade(path)
    if cascade.evidence.get("pool_sha256") != pool.sha256:
        raise SpecError(f"{path} was chosen from another version of the pool file of {pool.name}; {REMAKE}")
    return cascade
