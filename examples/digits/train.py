"""Train one backbone of the pool from scratch on one CPU core, in a minute or two."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from functools import partial

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from build_engines.export.preprocessing import Preprocessing, ServedBackbone
from build_engines.export.timm_model import create, data_config
from build_engines.images.source import ImageSource
from build_engines.pool.schema import Backbone, Pool
from build_engines.support.atomic_files import write_whole

SEED = 1
BATCH_IMAGES = 32
BATCH_NORM_MOMENTUM = 0.2  # few steps: the running statistics must follow faster than timm's 0.1
EPOCHS = {"vit_16": 50, "mobilenetv2_48": 32, "resnet_32": 20, "efficientnet_24": 10}
MAX_LEARNING_RATE = 3e-3


def train(pool: Pool, backbone: Backbone, images: ImageSource, epochs_done: MutableMapping[str, int]) -> None:
    """Train one backbone and write its weights atomically as safetensors.

    Args:
        pool: The pool, for the canvas and the path of the weights.
        backbone: The backbone to train.
        images: The training images.
        epochs_done: Receives the number of completed epochs by backbone name.
    """
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    model = create(backbone)
    served = ServedBackbone(Preprocessing(pool.canvas, data_config(backbone, model)), model)
    usable, decoded = images.usable(pool.canvas)
    canvases, labels = torch.from_numpy(decoded), torch.from_numpy(usable.class_ids)
    for epoch in _fit(served, canvases, labels, EPOCHS[backbone.name]):
        epochs_done[backbone.name] = epoch
    write_whole(pool.weights_file(backbone), partial(save_file, model.state_dict()))


def _fit(served: ServedBackbone, canvases: Tensor, labels: Tensor, epochs: int) -> Iterator[int]:
    """Train, yielding the number of completed epochs after each."""
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
    """Rotate, scale, shear and shift each canvas slightly; UINT8 [B, S, S, 3] in and out."""
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
