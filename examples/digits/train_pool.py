"""Train the backbones of the pool in parallel, skipping those that are trained already."""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

from build_engines.images.source import ImageSource
from build_engines.pool.schema import Backbone, Pool
from build_engines.support.atomic_files import fingerprint, write_text_whole
from examples.digits import train as recipe

PROCESSES = 2
POLL_S = 0.2

OnEpoch = Callable[[str, int, int], None]


def untrained(pool: Pool) -> list[Backbone]:
    """Return the backbones whose weights are missing or were trained by a different recipe."""
    return [backbone for backbone in pool.backbones if not _is_trained(pool, backbone)]


def train_all(pool: Pool, backbones: list[Backbone], images: ImageSource, on_epoch: OnEpoch) -> None:
    """Train backbones in parallel, one core each, writing each one's weights atomically.

    Args:
        pool: The pool, for the canvas and the paths of the weights.
        backbones: The backbones to train.
        images: The training images.
        on_epoch: Called with a backbone's name, its completed epochs and its total epochs.
    """
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(PROCESSES, context, _ignore_ctrl_c) as executor:
        epochs = manager.dict()
        running = {
            backbone.name: executor.submit(recipe.train, pool, backbone, images, epochs)
            for backbone in sorted(backbones, key=_length, reverse=True)
        }
        try:
            while not all(future.done() for future in running.values()):
                time.sleep(POLL_S)
                _report_epochs(dict(epochs), on_epoch)
                _record_finished(pool, running)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        _record_finished(pool, running)


def _ignore_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _length(backbone: Backbone) -> int:
    """Estimate the relative training time of a backbone; the longest is started first."""
    return recipe.EPOCHS[backbone.name] * backbone.input_size


def _report_epochs(epochs_done: dict[str, int], on_epoch: OnEpoch) -> None:
    for name, done in epochs_done.items():
        on_epoch(name, done, recipe.EPOCHS[name])


def _record_finished(pool: Pool, running: dict[str, Future[None]]) -> None:
    for name, future in running.items():
        backbone = pool.backbone(name)
        if future.done():
            future.result()
            if not _is_trained(pool, backbone):
                write_text_whole(_record_file(pool, backbone), json.dumps(_recipe(backbone)))


def _recipe(backbone: Backbone) -> str:
    return fingerprint(json.dumps(backbone.model_dump(), sort_keys=True), Path(recipe.__file__).read_text())


def _record_file(pool: Pool, backbone: Backbone) -> Path:
    return pool.weights_file(backbone).with_suffix(".json")


def _is_trained(pool: Pool, backbone: Backbone) -> bool:
    try:
        recorded = json.loads(_record_file(pool, backbone).read_text())
    except (OSError, ValueError):
        return False
    return recorded == _recipe(backbone) and pool.weights_file(backbone).is_file()
