"""Train the backbones of a small pool from scratch, on a CPU, in minutes."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, MutableMapping
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from build_engines.backbone import create, data_config
from build_engines.files import fingerprint, write_text_whole, write_whole
from build_engines.image_folder import ImageFolder
from build_engines.pool import Backbone, Pool
from build_engines.preprocessing import Preprocessing, ServedBackbone

SEED = 1
BATCH_IMAGES = 32
BATCH_NORM_MOMENTUM = 0.2  # few steps: the running statistics must follow faster than timm's 0.1
EPOCHS = {"vit_16": 50, "mobilenetv2_48": 32, "resnet_32": 20, "efficientnet_24": 10}
MAX_LEARNING_RATE = 3e-3
PROCESSES = 2
POLL_S = 0.2

OnEpoch = Callable[[str, int, int], None]


def untrained(pool: Pool) -> list[Backbone]:
    """Return the backbones whose weights are missing, or come from another recipe than this file's."""
    return [backbone for backbone in pool.backbones if not _is_trained(pool, backbone)]


def train_all(pool: Pool, backbones: list[Backbone], images: ImageFolder, on_epoch: OnEpoch) -> None:
    """Train backbones side by side, one core each; each one's weights appear when they are whole.

    Args:
        pool: The pool, for the canvas and the places of the weights.
        backbones: The backbones to train.
        images: The training images.
        on_epoch: Told a backbone's name, its number of epochs done and their total.
    """
    context = multiprocessing.get_context("spawn")
    dearest_first = sorted(backbones, key=lambda backbone: -EPOCHS[backbone.name] * backbone.input_size)
    with context.Manager() as manager, ProcessPoolExecutor(PROCESSES, mp_context=context) as executor:
        epochs = manager.dict()
        running = [executor.submit(train, pool, backbone, images, epochs) for backbone in dearest_first]
        while not all(future.done() for future in running):
            _tell(backbones, dict(epochs), on_epoch)
            _raise_first_error(running)
            time.sleep(POLL_S)
        _tell(backbones, dict(epochs), on_epoch)
        _raise_first_error(running)


def train(pool: Pool, backbone: Backbone, images: ImageFolder, epochs_done: MutableMapping[str, int]) -> None:
    """Train one backbone on one core and write its weights as safetensors, whole or not at all."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    model = create(backbone)
    served = ServedBackbone(Preprocessing(pool.canvas, data_config(backbone, model)), model)
    canvases, labels = torch.from_numpy(images.canvases(pool.canvas)), torch.from_numpy(images.class_ids)
    for epoch in _fit(served, canvases, labels, EPOCHS[backbone.name]):
        epochs_done[backbone.name] = epoch
    write_whole(pool.weights_file(backbone), partial(save_file, model.state_dict()))
    write_text_whole(_recipe_note(pool, backbone), json.dumps(_recipe(backbone)))


def _fit(served: ServedBackbone, canvases: Tensor, labels: Tensor, epochs: int) -> Iterator[int]:
    """Train, and yield the number of epochs done."""
    _set_batch_norm_momentum(served)
    served.train()
    optimizer = torch.optim.AdamW(served.parameters(), lr=MAX_LEARNING_RATE, weight_decay=0.05)
    steps = epochs * (len(labels) // BATCH_IMAGES)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, MAX_LEARNING_RATE, total_steps=steps)
    for epoch in range(1, epochs + 1):
        for rows in _batches(len(labels)):
            inputs = served.preprocessing(_augment(canvases[rows]))
            loss = F.cross_entropy(served.backbone(inputs), labels[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        yield epoch


def _batches(count: int) -> Iterator[Tensor]:
    order = torch.randperm(count)
    for start in range(0, count - BATCH_IMAGES + 1, BATCH_IMAGES):
        yield order[start : start + BATCH_IMAGES]


def _augment(canvases: Tensor) -> Tensor:
    """Rotate, scale, shear and shift each canvas a little: UINT8 [B, S, S, 3] to the same."""
    count = len(canvases)
    turn = torch.empty(count, 2, 2).uniform_(-0.18, 0.18)
    scale = torch.eye(2) * torch.empty(count, 1, 1).uniform_(0.88, 1.12)
    shift = torch.empty(count, 2, 1).uniform_(-0.12, 0.12)
    grid = F.affine_grid(torch.cat([scale + turn, shift], dim=2), [count, 3, *canvases.shape[1:3]], align_corners=False)
    moved = F.grid_sample(canvases.permute(0, 3, 1, 2).float(), grid, align_corners=False)
    return moved.permute(0, 2, 3, 1).to(torch.uint8)


def _set_batch_norm_momentum(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = BATCH_NORM_MOMENTUM


def _recipe(backbone: Backbone) -> str:
    return fingerprint(backbone.model_dump_json(), Path(__file__).read_text())


def _recipe_note(pool: Pool, backbone: Backbone) -> Path:
    return pool.weights_file(backbone).with_suffix(".json")


def _is_trained(pool: Pool, backbone: Backbone) -> bool:
    try:
        recorded = json.loads(_recipe_note(pool, backbone).read_text())
    except (OSError, ValueError):
        return False
    return recorded == _recipe(backbone) and pool.weights_file(backbone).is_file()


def _tell(backbones: list[Backbone], epochs_done: dict[str, int], on_epoch: OnEpoch) -> None:
    for backbone in backbones:
        on_epoch(backbone.name, epochs_done.get(backbone.name, 0), EPOCHS[backbone.name])


def _raise_first_error(running: list[Future[None]]) -> None:
    for future in running:
        if future.done():
            future.result()
