"""Measure the served cascade against the alternatives to it, interleaved in one run.

    python benchmarks/serving.py [--rounds 5] [--slice-s 2]

Three stages, exits 60/25/15. On a CPU they are networks of about 1, 4 and 13 ms an image; "GPU-like" ones sleep 2, 6
and 15 ms a call, whatever the batch. In every round each contender serves for a slice of each load, in turn; every
answer is checked. All are asked over HTTP by the same clients, whose CPU time counts for all alike.

Ray Serve and mosec are left out where they are not installed (pip install ".[benchmarks]").
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from contenders.ideal import allowed_images_per_second, ideal_images_per_second
from contenders.load import Clients, Load, Target
from contenders.loopback import keep_only_loopback
from contenders.networks import write_networks
from contenders.record import Record
from contenders.servers import APPS, app, triton, triton_target
from contenders.show import plot, show
from environment import RESULTS, write_result
from rich.console import Console
from rich.progress import Progress

BY_TRITON = ("cascade", "cascade_in_process", "naive", "batched", "early", "fused", "large", "ensemble", "small")
CPU_ONLY = {"fused", "cascade_in_process"}  # two processes that sleep side by side would be two GPUs
MANY, BATCHES, ONE_EASY = "16 clients, batch 1", "16 clients, batch 8", "1 client, batch 1, easy"
BESIDE_HARD = "1 client, batch 1, easy, beside 2 of 8 hard"
BATCH_OF = {MANY: 1, BATCHES: 8}
console = Console(width=120)


def loads(slice_s: float) -> dict[str, list[Load]]:
    """Return the loads by name; the first of each is the one that counts."""
    easy = Load(1, 1, slice_s, exits=(1,))
    return {
        MANY: [Load(16, 1, slice_s)],
        BATCHES: [Load(16, 8, slice_s)],
        ONE_EASY: [easy],
        BESIDE_HARD: [easy, Load(2, 8, slice_s, exits=(3,))],
    }


Measure = Callable[[str, Target], None]


def measure_round(networks: Path | None, measure: Measure) -> None:
    """Let each contender serve."""
    with triton(networks) as port:
        for model in BY_TRITON:
            if networks or model not in CPU_ONLY:
                measure(model, triton_target(model, port))
    for name in APPS:
        if importlib.util.find_spec(name):
            with app(name, networks) as target:
                measure(name, target)


def measure_all(rounds: int, slice_s: float, networks: Path) -> tuple[Record, Record]:
    """Return what was seen on CPU stages and on GPU-like ones."""
    cpu, gpu_like = Record(), Record()
    for name, batch in BATCH_OF.items():
        gpu_like.allow(name, allowed_images_per_second(16, batch))
    total = rounds * (2 * (len(BY_TRITON) + len(APPS)) - len(CPU_ONLY))
    with _progress(total) as step, Clients(2) as clients:

        def measure(record: Record, seed: int, name: str, target: Target) -> None:
            for load, parts in loads(slice_s).items():
                record.add(name, load, clients.measure(target, parts, seed)[0])
            step()

        for seed in range(rounds):
            for name, batch in BATCH_OF.items():
                cpu.add_ideal(name, ideal_images_per_second(networks, batch, slice_s))
            measure_round(networks, partial(measure, cpu, seed))
            measure_round(None, partial(measure, gpu_like, seed))
    return cpu, gpu_like


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    with Progress(console=console) as bar:
        task = bar.add_task("measuring", total=total)
        yield lambda: bar.advance(task)


def main() -> None:
    """Measure, show and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slice-s", type=float, default=2.0)
    options = parser.parse_args()
    keep_only_loopback()
    for name in [name for name in APPS if not importlib.util.find_spec(name)]:
        console.print(f"[yellow]{name} is not installed and left out: pip install '.[benchmarks]'")
    with TemporaryDirectory() as folder:
        networks = Path(folder)
        alone_ms = write_networks(networks)
        cpu, gpu_like = measure_all(options.rounds, options.slice_s, networks)
    content = {"alone_ms": alone_ms, "slice_s": options.slice_s, "cpu": cpu.summary(), "gpu_like": gpu_like.summary()}
    path = write_result("serving", content, "nvidia-pytriton")
    for title, record in (("CPU stages", cpu), ("GPU-like stages", gpu_like)):
        show(console, title, record.summary())
    plot(RESULTS / f"{path.stem}.png", {"CPU stages": cpu.summary(), "GPU-like stages": gpu_like.summary()})
    console.print(f"stages alone, one core: {alone_ms}; written to {path}")


if __name__ == "__main__":
    main()
