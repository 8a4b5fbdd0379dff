"""What is measured: backbones alone and cascades of them, under the load that each study is about.

The rates at which the paper's cascades exit are not at hand. Those here bring the multiply-accumulates down by what its
abstract states ("Wisdom of Committees", ICLR 2022): 2.3 times against ViT-L-384, 5.4 times against EfficientNet-B7. The
rates of the other cascades are ours. Whatever they are, the ratio measured is to be held against that of the
multiply-accumulates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from build_engines.export.timm_catalog import require_timm
from build_engines.pool.schema import Pool, Precision, TimmBackbone, load_pool

POOLS = Path(__file__).parents[2] / "pools"
THROUGHPUT, LATENCY = "throughput", "latency"
LEAST_ROOM = 64
SCALES = {"vit": 8, "efficientnet": 4}  # of the small form: sides of canvases and inputs are divided by them
# What becomes of an architecture in the small form, by the start of its name.
TINY_VIT = {"patch_size": 4, "embed_dim": 48, "num_heads": 3}
SMALL: dict[str, dict[str, Any]] = {
    "vit_base": {"arguments": TINY_VIT | {"depth": 2}},
    "vit_large": {"arguments": TINY_VIT | {"depth": 7}},
    "tf_efficientnet": {"architecture": "tf_efficientnet_b0.aa_in1k"},
}


@dataclass(frozen=True)
class Line:
    """A backbone or a cascade, measured under one name.

    Attributes:
        name: Of the model that Triton serves.
        stages: Backbones, in their order; one for a backbone alone.
        exits: Share of the images that leave at each stage.
        against: The line that it is compared with.
    """

    name: str
    stages: tuple[str, ...]
    exits: tuple[float, ...] = (1.0,)
    against: str | None = None

    @property
    def is_cascade(self) -> bool:
        """Return whether it has several stages."""
        return len(self.stages) > 1

    @property
    def reached(self) -> tuple[float, ...]:
        """Return the share of the images that reach each stage."""
        return tuple(1 - sum(self.exits[:stage]) for stage in range(len(self.exits)))


@dataclass(frozen=True)
class Study:
    """Lines that are measured under one load.

    Attributes:
        name: Of the pool file, too.
        metric: What it is about, `throughput` or `latency`.
        clients: Concurrent clients of the server.
        batch: Images in one request.
        call: Images in one call in process.
    """

    name: str
    metric: str
    clients: int
    batch: int
    call: int
    lines: tuple[Line, ...]

    @property
    def most_images(self) -> int:
        """Return room for the images of all clients, with as much again to spare."""
        return max(LEAST_ROOM, 2 * self.clients * self.batch)

    def pool(self, precision: Precision, small: bool) -> Pool:
        """Return its backbones with random weights."""
        pool = load_pool(POOLS / f"{self.name}.yaml").variant(random_weights=True, precision=precision)
        return _shrunk(pool, SCALES[self.name]) if small else pool

    def small(self) -> Study:
        """Return the same lines under a load for a laptop."""
        return replace(self, clients=min(self.clients, 4), batch=min(self.batch, 4), call=min(self.call, 4))


def _alone(*names: str) -> tuple[Line, ...]:
    return tuple(Line(name, (name,)) for name in names)


B224, B384, L224, L384 = VITS = "vit_base_at_224", "vit_base_at_384", "vit_large_at_224", "vit_large_at_384"
NETS = tuple(f"efficientnet_b{size}" for size in range(8))
STUDIES = {
    "vit": Study(
        "vit",
        THROUGHPUT,
        clients=16,
        batch=16,
        call=32,
        lines=(
            *_alone(*VITS),
            Line("b224_l384", (B224, L384), (0.66, 0.34), L384),
            Line("b224_l224_l384", (B224, L224, L384), (0.50, 0.32, 0.18), L384),
            Line("b384_l384", (B384, L384), (0.86, 0.14), L384),
            Line("l224_l384", (L224, L384), (0.89, 0.11), L384),
            Line("b224_l224", (B224, L224), (0.60, 0.40), L224),
            Line("b224_l384_as_dear_as_l224", (B224, L384), (0.77, 0.23), L224),
        ),
    ),
    "efficientnet": Study(
        "efficientnet",
        LATENCY,
        clients=1,
        batch=1,
        call=1,
        lines=(
            *_alone(*NETS),
            Line("b0_b1_b3", (NETS[0], NETS[1], NETS[3]), (0.60, 0.20, 0.20), NETS[3]),
            Line("b1_b3_b5", (NETS[1], NETS[3], NETS[5]), (0.50, 0.32, 0.18), NETS[5]),
            Line("b3_b5_b7", (NETS[3], NETS[5], NETS[7]), (0.68, 0.27, 0.05), NETS[7]),
        ),
    ),
}


def _shrunk(pool: Pool, scale: int) -> Pool:
    """Return a pool of the same names that a laptop builds and runs in a few minutes."""
    return pool.model_copy(
        update={
            "name": f"{pool.name}-small",
            "canvas": pool.canvas // scale,
            "backbones": tuple(_small(require_timm(backbone), scale) for backbone in pool.backbones),
        }
    )


def _small(backbone: TimmBackbone, scale: int) -> TimmBackbone:
    (update,) = (update for start, update in SMALL.items() if backbone.architecture.startswith(start))
    return backbone.model_copy(update=update | {"input_size": backbone.input_size // scale})
