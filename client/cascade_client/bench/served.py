"""The models that a server has besides the cascade, and their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

from cascade_client import description
from cascade_client.bench.images import Ids
from cascade_client.canvas import Canvas
from cascade_client.contract import CLASS_ID, DESCRIPTION, EXIT_STAGE, IMAGE, PROBABILITIES, TensorSpec
from cascade_client.description import Description
from cascade_client.errors import BenchError, typed_errors

CALL_IMAGES = 16
TIMEOUT_S = 60.0
BY_TRITON, IN_PROCESS, UNKNOWN = "by Triton", "in process", "unknown"


@dataclass(frozen=True)
class Model:
    """A served classifier that takes the canvas.

    Attributes:
        name: Its Triton model name.
        canvas: Side of the canvas, in pixels.
        max_batch_size: Maximum number of images in one request.
        answers: The output with its answer: CLASS_ID if it has one, otherwise PROBABILITIES.
        served: How its networks are reached: `by Triton`, or `in process` by a cascade; `unknown` of an older cascade.
        stages: Number of stages of a cascade; 0 of anything else, and where it is unknown.
    """

    name: str
    canvas: int
    max_batch_size: int
    answers: TensorSpec
    served: str = BY_TRITON
    stages: int = 0


class Server:
    """A connection to a Triton server and its models.

    Raises:
        CascadeError: from every method, if the server does not answer, does not serve a model, or fails.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._triton = InferenceServerClient(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._triton.close()

    def models(self) -> list[str]:
        """List the names of all served models."""
        with typed_errors(self.url):
            seen = self._triton.get_inference_statistics(client_timeout=TIMEOUT_S)
        return sorted(model.name for model in seen.model_stats)

    def describe(self, name: str) -> Model | None:
        """Return the description of a model, None if it does not classify canvases in batches.

        Raises:
            ModelNotFound: it is not served.
        """
        with typed_errors(self.url):
            metadata = self._triton.get_model_metadata(name, client_timeout=TIMEOUT_S)
            config = self._triton.get_model_config(name, client_timeout=TIMEOUT_S).config
        inputs = {tensor.name: tuple(tensor.shape) for tensor in metadata.inputs}
        outputs = {tensor.name for tensor in metadata.outputs}
        answers = next((output for output in (CLASS_ID, PROBABILITIES) if output.name in outputs), None)
        if answers is None or list(inputs) != [IMAGE.name] or config.max_batch_size < 1:
            return None
        model = Model(name, int(inputs[IMAGE.name][1]), config.max_batch_size, answers)
        return model if EXIT_STAGE.name not in outputs else self._as_cascade(model, DESCRIPTION.name in outputs)

    def ask(self, model: Model, canvases: Canvas, outputs: Sequence[TensorSpec]) -> list[npt.NDArray[Any]]:
        """Return the given outputs of a model for canvases UINT8 [N, S, S, 3], each [N, ...]."""
        size = min(CALL_IMAGES, model.max_batch_size)
        calls = [canvases[start : start + size] for start in range(0, len(canvases), size)]
        answers = [self._infer(model, call, outputs) for call in calls]
        return [np.concatenate(parts) for parts in zip(*answers, strict=True)]

    def class_ids(self, model: Model, canvases: Canvas) -> Ids:
        """Return a model's answer to each canvas, INT64 [N]."""
        (answer,) = self.ask(model, canvases, [model.answers])
        return np.asarray(answer[:, 0] if model.answers == CLASS_ID else answer.argmax(axis=1), dtype=np.int64)

    def _as_cascade(self, model: Model, describes_itself: bool) -> Model:
        """Return a cascade with its number of stages, and how it reaches them."""
        if not describes_itself:
            return replace(model, served=UNKNOWN)
        black = np.zeros((1, model.canvas, model.canvas, 3), np.uint8)
        ((text,),) = self._infer(model, black, [DESCRIPTION])[0]
        described = Description.parse(text)
        way = IN_PROCESS if described.reach == description.IN_PROCESS else BY_TRITON
        return replace(model, served=way, stages=len(described.stages))

    def _infer(self, model: Model, canvases: Canvas, outputs: Sequence[TensorSpec]) -> list[npt.NDArray[Any]]:
        tensor = InferInput(IMAGE.name, list(canvases.shape), IMAGE.datatype)
        tensor.set_data_from_numpy(np.ascontiguousarray(canvases))
        wanted = [InferRequestedOutput(output.name) for output in outputs]
        with typed_errors(self.url):
            response = self._triton.infer(model.name, [tensor], outputs=wanted, client_timeout=TIMEOUT_S)
        return [response.as_numpy(output.name) for output in outputs]


def models_beside(
    server: Server, cascade: Model, ensembles: Sequence[str] = (), backbones: Sequence[str] = ()
) -> list[Model]:
    """Return the models to compare with the cascade: those named, and single networks if no backbone is.

    These are the networks that are served as the cascade's stages are: backbones, or cascades of one stage where the
    cascade runs its own in process. Where none is, they are the backbones.

    Raises:
        ModelNotFound: a named one is not served.
        BenchError: a named one does not classify canvases, or takes another canvas than the cascade.
    """
    named = [_comparable(server, cascade, name) for name in (*ensembles, *backbones)]
    if backbones:
        return named
    rest = [name for name in server.models() if name not in {cascade.name, *ensembles}]
    found = [model for model in map(server.describe, rest) if model is not None and model.canvas == cascade.canvas]
    singles = [one for one in found if one.answers == PROBABILITIES or one.stages == 1]
    alike = [
        one for one in singles if one.served == cascade.served and (one.stages == 1) == (cascade.served == IN_PROCESS)
    ]
    return [*named, *(alike or [one for one in singles if one.answers == PROBABILITIES])]


def _comparable(server: Server, cascade: Model, name: str) -> Model:
    model = server.describe(name)
    if model is None:
        raise BenchError(
            f"model {name!r} is not a classifier: expected input `{IMAGE.name}` and output `{PROBABILITIES.name}`"
        )
    if model.canvas != cascade.canvas:
        raise BenchError(
            f"model {name!r} takes a canvas of {model.canvas} pixels and {cascade.name!r} one of {cascade.canvas}: "
            "they cannot be measured on the same images"
        )
    return model
