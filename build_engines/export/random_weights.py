"""Random weights that answer as trained ones do: for measuring and checking where no trained ones are available."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

LOGIT_DEVIATION = 1.0


def calibrate_random_weights(model: nn.Module, inputs: Tensor) -> None:
    """Give an untrained timm model activations and logits of the size that training would give them.

    BatchNorm takes its statistics from the images, and the classifier is scaled: otherwise probabilities are all equal,
    or all 0 and 1, and a difference between two runs shows nothing.

    Args:
        model: In evaluation mode, which it keeps.
        inputs: FP32 [B, 3, H, W], preprocessed; B of at least 2.
    """
    for norm in (module for module in model.modules() if isinstance(module, _BatchNorm)):
        norm.momentum = None  # the mean over all batches seen, which is this one
        norm.train()
    classifier = cast(Any, model).get_classifier()
    nn.init.normal_(classifier.weight, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model(inputs)
        logits = model.eval()(inputs)
        scale = LOGIT_DEVIATION / logits.std().clamp(min=1e-6)
        classifier.weight.mul_(scale)
        classifier.bias.mul_(scale)
