"""Small ONNX classifiers, as other tools than ours write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from build_engines.images.samples import sample_canvases
from build_engines.pool.artifacts import PoolBuild
from tests.support.helpers import CANVAS, CLASSES, pool_of


def classifier(
    path: Path,
    layout: str = "NCHW",
    output: str = "logits",
    batch: str | int = "N",
    opset: int = 20,
    side: int | str = CANVAS,
    classes: int = CLASSES,
    scale: float = 1.0,
) -> Path:
    """Write a classifier of one convolution, whose input is called `image` as ours is."""
    generator = np.random.default_rng(0)
    shape = [batch, 3, side, side] if layout == "NCHW" else [batch, side, side, 3]
    weights = {
        "kernel": generator.normal(size=(8, 3, 3, 3)) / 3,
        "head": scale * generator.normal(size=(8, classes)),
        "bias": generator.normal(size=classes),
    }
    turned = [helper.make_node("Transpose", ["image"], ["turned"], perm=[0, 3, 1, 2])] if layout == "NHWC" else []
    pixels = "turned" if turned else "image"
    nodes = [
        *turned,
        helper.make_node("Conv", [pixels, "kernel"], ["x"], strides=[2, 2], doc_string="/home/me/venv/tool.py"),
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("GlobalAveragePool", ["y"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head", "bias"], ["logits"]),
        *([helper.make_node("Softmax", ["logits"], ["answers"], axis=1)] if output == "probabilities" else []),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, [batch, classes])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def onnx_entry(name: str, **changes: object) -> dict[str, object]:
    """Return a pool file's entry of such a classifier."""
    entry: dict[str, object] = {
        "name": name,
        "onnx": f"{name}.onnx",
        "layout": "NCHW",
        "value_range": 1,
        "output": "logits",
        "input_size": CANVAS,
        "classes": CLASSES,
        "max_batch_size": 8,
    }
    return entry | changes


def pool_with(folder, file=None, **changes):
    """A pool of one classifier, the file written as the entry says unless `file` says otherwise."""
    said = {key: changes[key] for key in ("layout", "output") if key in changes}
    classifier(folder / "theirs.onnx", **(said | (file or {})))
    return pool_of(folder, onnx_entry("theirs", **changes))


def exported(pool, folder, images=None):
    """Export a pool of one backbone; return its manifest and its ONNX file."""
    from build_engines.export.backbone import export_backbone

    (built,) = PoolBuild.of(pool, folder / "build")
    return export_backbone(built, sample_canvases(CANVAS) if images is None else images), built.onnx
