"""Run a backbone's exported program with PyTorch alone: compiled and with CUDA graphs on a GPU, as it is on a CPU.

This file is copied into the entry, next to model.py, and imports nothing of this project, which the server may not
have. A program file can contain pickles, which PyTorch loads: it is loaded only if its SHA-256 is that of the file
which the entry was written with, and needs to be trusted as much as the Python code next to it.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.export.passes import move_to_device_pass
from torch.fx import GraphModule, Node

PROGRAM = "model.pt2"
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
MIN_TORCH = (2, 9)
WARM_UPS = 3
FILTER_DIMS = 4
MAX_CAUSE_LENGTH = 300  # PyTorch adds pages of advice

Images = npt.NDArray[np.uint8]
Probabilities = npt.NDArray[np.float32]
Run = Callable[[Tensor], Tensor]
Warn = Callable[[str], None]


class EngineError(Exception):
    """A program that cannot be served. It stands outside of BuildError's tree, which servers do not have."""


class Engine:
    """A network that reads batches from one fixed tensor, as CUDA graphs need it.

    Attributes:
        sizes: The batch sizes that can be run, ascending. A batch of another size is padded to the next one with images
            of earlier batches: no answer depends on another image of the batch.
    """

    def __init__(self, images: Tensor, sizes: Sequence[int], answer: Callable[[int], Tensor]) -> None:
        """Take the tensor, UINT8 [N, S, S, 3], and a function of n that answers its first n images with FP32 [n, C]."""
        self._images, self.sizes, self._answer = images, sizes, answer
        on_cpu = images.device.type == "cpu"
        self._host = images if on_cpu else torch.empty(images.shape, dtype=images.dtype, pin_memory=True)

    def __call__(self, parts: Sequence[Images]) -> Probabilities:
        """Answer several arrays UINT8 [n, S, S, 3] with one run and one copy each way: FP32 [sum of n, C].

        Raises:
            ValueError: they have another shape, or are more than the largest batch size.
        """
        count = sum(len(part) for part in parts)
        if count > self.sizes[-1]:
            raise ValueError(f"a batch of {count} images exceeds the maximum of {self.sizes[-1]}")
        np.concatenate(parts, out=self._host[:count].numpy())
        if self._host is not self._images:
            self._images[:count].copy_(self._host[:count], non_blocking=True)
        with torch.no_grad():
            answers = self._answer(self.sizes[bisect_left(self.sizes, count)])
        return answers[:count].cpu().numpy()


def load(folder: Path, config: Mapping[str, Any], gpu: int, warn: Warn) -> Engine:
    """Load the program of a version folder and prepare it, which on a GPU takes from seconds to minutes.

    Args:
        folder: The folder of model.pt2.
        config: Triton's configuration of the entry, as JSON.
        gpu: The index of the GPU, where PyTorch sees any; else FP32 on the CPU, whatever the configuration says.
        warn: Called with what is slower than it could be, and why.

    Raises:
        EngineError: PyTorch is too old; or the program is damaged, was exported by an incompatible PyTorch, or does not
            run in the requested precision.
    """
    check_torch()
    torch.backends.cudnn.allow_tf32 = False  # otherwise FP32 convolutions round to 10 bits on Ampere and later
    parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
    device = torch.device("cuda", gpu) if torch.cuda.is_available() else torch.device("cpu")
    precision = parameters["precision"] if device.type == "cuda" else "fp32"
    sizes = [int(size) for size in parameters["batch_sizes"].split(",")]
    shape = [sizes[-1], *(int(extent) for extent in config["input"][0]["dims"])]
    images = torch.zeros(shape, dtype=torch.uint8, device=device)
    module = _read(folder / PROGRAM, parameters, device)
    cast_body(module, DTYPES[precision])
    try:
        with torch.no_grad():
            answers = module(images[:1])
    except Exception as error:  # PyTorch's errors share no base class
        raise EngineError(f"{PROGRAM} does not run in {precision} on {device}: {error}") from error
    if not bool(answers.isfinite().all()):
        others = " or ".join(name for name in ("bf16", "fp32") if name != precision)
        raise EngineError(
            f"{PROGRAM} answers NaN in {precision}: check that its weights are intact, or rewrite the entry with "
            f"build-engines repository --runtime torch --precision {others}"
        )
    if device.type == "cuda":
        return on_gpu(module, images, sizes, warn)
    torch.set_num_threads(
        1
    )  # as in the runtime `embedded`: each backbone has its own process, and they share the cores
    return without_graphs(module, images)


def check_torch() -> None:
    """Check that PyTorch is new enough.

    Raises:
        EngineError: it is too old.
    """
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < MIN_TORCH:
        oldest = ".".join(map(str, MIN_TORCH))
        raise EngineError(f"PyTorch {torch.__version__} is too old: {oldest} or later is needed")


def without_graphs(run: Run, images: Tensor) -> Engine:
    """Return an engine that runs batches of any size."""
    return Engine(images, range(1, len(images) + 1), lambda size: run(images[:size]))


@torch.no_grad()
def on_gpu(module: GraphModule, images: Tensor, sizes: Sequence[int], warn: Warn) -> Engine:
    """Return an engine with a compiled module and CUDA graphs; without either where that fails, with a warning."""
    torch.cuda.set_device(images.device)
    torch.backends.cudnn.benchmark = True
    run = compiled(module, images, warn)
    try:
        return Engine(images, sizes, captured(run, images, sizes))
    except Exception as error:  # PyTorch's errors share no base class
        warn(f"no CUDA graphs, so every batch is launched kernel by kernel: {_in_short(error)}")
        return without_graphs(run, images)


@torch.no_grad()
def compiled(module: GraphModule, images: Tensor, warn: Warn) -> Run:
    """Compile for every batch size up to that of `images`; if that fails, warn and return the module as it is."""
    run: Run = torch.compile(module)
    try:
        for size in (len(images), 1):  # a graph of any size, and one of a single image
            batch = images[:size]
            torch._dynamo.maybe_mark_dynamic(batch, 0)
            run(batch)
    except Exception as error:  # PyTorch's errors share no base class
        warn(f"not compiled, so PyTorch runs it operator by operator: {_in_short(error)}")
        return module
    return run


def captured(run: Run, images: Tensor, sizes: Sequence[int]) -> Callable[[int], Tensor]:
    """Capture a CUDA graph for each batch size, the largest first: the others reuse its memory."""
    graphs, answers = {}, {}
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    pool = torch.cuda.graph_pool_handle()
    for size in reversed(sizes):
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                run(images[:size])
        torch.cuda.current_stream().wait_stream(stream)
        graphs[size] = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graphs[size], pool=pool, stream=stream):
            answers[size] = run(images[:size])

    def answer(size: int) -> Tensor:
        graphs[size].replay()
        return answers[size]

    return answer


def cast_body(module: GraphModule, dtype: torch.dtype) -> None:
    """Cast the backbone to a precision, channels last; preprocessing, BatchNorm and the softmax stay in FP32."""
    nodes = list(module.graph.nodes)
    pixels = [node for node in nodes if _is_preprocessing(node)][-1]
    for node in nodes:
        if node.target is torch.ops.aten._assert_tensor_metadata.default:  # asserts the previous precision
            module.graph.erase_node(node)
    with module.graph.inserting_after(pixels):
        cast = module.graph.call_function(
            torch.ops.aten.to.dtype, (pixels, dtype), {"memory_format": torch.channels_last}
        )
    pixels.replace_all_uses_with(cast, delete_user_cb=lambda user: user is not cast)
    module.recompile()
    kept = {name for node in nodes for name in _batch_norm_tensors(node)}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if name.startswith("backbone.") and name not in kept and tensor.is_floating_point():
            tensor.data = _in_layout(tensor.data.to(dtype))


def _read(path: Path, parameters: Mapping[str, str], device: torch.device) -> GraphModule:
    again = "rerun build-engines repository"
    if not path.is_file():
        raise EngineError(f"{path.name} is missing; {again}")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != parameters[f"{PROGRAM}_sha256"]:
            raise EngineError(
                f"{path.name} is not the file that this entry was written with: copy it again, or {again}"
            )
    try:
        program = torch.export.load(path)
        return move_to_device_pass(program, device).module(check_guards=False)
    except Exception as error:  # PyTorch's errors share no base class
        raise EngineError(
            f"{path.name}, exported by {parameters['exported_by']}, cannot be loaded by torch {torch.__version__}: "
            f"{_in_short(error)}; use the same version, or {again} with this one"
        ) from error


def _is_preprocessing(node: Node) -> bool:
    stack = node.meta.get("nn_module_stack", {})
    return node.op == "call_function" and any(path.split(".")[0] == "preprocessing" for path, _ in stack.values())


def _batch_norm_tensors(node: Node) -> list[str]:
    if node.target is not torch.ops.aten.batch_norm.default:
        return []
    return [str(argument.target) for argument in node.args[1:5] if isinstance(argument, Node)]


def _in_layout(weights: Tensor) -> Tensor:
    return weights.contiguous(memory_format=torch.channels_last) if weights.dim() == FILTER_DIMS else weights


def _in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:MAX_CAUSE_LENGTH]}"
