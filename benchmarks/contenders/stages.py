"""A stage in the calling process, as the contenders without stage servers run it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime

from contenders.workload import CALL_MS, STAGES, Images, Probabilities, answer

Predict = Callable[[Images], Probabilities]


def session(path: Path) -> Predict:
    """Load an ONNX file, to be run on one core a call."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    loaded = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: loaded.run(["probabilities"], {"image": images})[0]  # type: ignore[no-any-return]


def sleeper(name: str) -> Predict:
    """Return a stage that is like one on a GPU: a call takes a fixed time and no CPU, one after another."""
    alone, stage = threading.Lock(), STAGES.index(name)

    def predict(images: Images) -> Probabilities:
        with alone:
            time.sleep(CALL_MS[name] / 1e3)
        return answer(images, stage)

    return predict


def load(name: str, networks: Path | None) -> Predict:
    """Load a stage: its network in a folder, or a sleeper where there is none."""
    return session(networks / f"{name}.onnx") if networks else sleeper(name)
