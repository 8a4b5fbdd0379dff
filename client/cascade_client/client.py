"""The client: images in, classifications out, over gRPC."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, InferResult

from cascade_client.canvas import Canvas, ImageLike, UnusableImage, to_canvas
from cascade_client.contract import (
    CASCADE,
    DESCRIPTION,
    ENCODED,
    ENCODED_SUFFIX,
    IMAGE,
    MAX_STAGE,
    OPERATING_POINT,
    PROBABILITIES,
    STAGE_CONFIDENCE,
    TensorSpec,
)
from cascade_client.description import Description
from cascade_client.encoded import as_encoded_error, read_encoded
from cascade_client.errors import CascadeError, InvalidImage, InvalidRequest, ModelNotFound, typed_errors
from cascade_client.results import ANSWER, DETAILS, Classification, read_results

DEFAULT_MODEL = CASCADE
DEFAULT_TIMEOUT_S = 30.0
IMAGES_AXES = 4

Parameters = dict[str, str | int]
Prepared = TypeVar("Prepared")


@dataclass(frozen=True)
class Status:
    """A served cascade, as its server describes it.

    Attributes:
        model: Its Triton model name.
        ready: Whether the server reports it as ready.
        versions: The served versions of the model.
        server: Triton's name and version.
        canvas: Side of the canvas, in pixels.
        classes: Number of classes.
        stages: Number of stages.
        max_batch_size: Maximum number of images in one request.
    """

    model: str
    ready: bool
    versions: tuple[str, ...]
    server: str
    canvas: int
    classes: int
    stages: int
    max_batch_size: int


class CascadeClient:
    """A connection to one served cascade, which threads may share; `close` or the context closes it.

    Attributes:
        url: host:port of Triton's gRPC service.
        model: The cascade's Triton model name.
        timeout_s: Seconds that one call to the server may take.
    """

    def __init__(self, url: str, *, model: str = DEFAULT_MODEL, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self.url = url
        self.model = model
        self.timeout_s = timeout_s
        self._triton = InferenceServerClient(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._triton.close()

    @cached_property
    def status(self) -> Status:
        """Return the description of the cascade, requested once and then cached.

        Raises:
            ServerUnavailable: no server answers.
            ModelNotFound: the server does not serve it.
            InvalidRequest: the model is not a cascade.
        """
        with typed_errors(self.url):
            server = self._triton.get_server_metadata(client_timeout=self.timeout_s)
        metadata = self._metadata()
        with typed_errors(self.url):
            config = self._triton.get_model_config(self.model, client_timeout=self.timeout_s).config
            ready = self._triton.is_model_ready(self.model, client_timeout=self.timeout_s)
        shapes = {tensor.name: list(tensor.shape) for tensor in (*metadata.inputs, *metadata.outputs)}
        if not {IMAGE.name, *(output.name for output in DETAILS)} <= set(shapes):
            raise InvalidRequest(
                f"{self.url}: model {self.model!r} is not a cascade; its tensors are {', '.join(shapes)}"
            )
        return Status(
            model=self.model,
            ready=bool(ready),
            versions=tuple(metadata.versions),
            server=f"{server.name} {server.version}",
            canvas=shapes[IMAGE.name][1],
            classes=shapes[PROBABILITIES.name][1],
            stages=shapes[STAGE_CONFIDENCE.name][1],
            max_batch_size=config.max_batch_size,
        )

    @cached_property
    def description(self) -> Description | None:
        """Return the cascade's stages, thresholds and operating points; None if the server is too old to tell.

        Requested once and then cached; no stage runs.

        Raises:
            CascadeError: as `status` does.
        """
        if DESCRIPTION.name not in {tensor.name for tensor in self._metadata().outputs}:
            return None
        side = self.status.canvas
        tensor = _input(IMAGE, np.zeros((1, side, side, 3), np.uint8))
        with typed_errors(self.url):
            wanted = [InferRequestedOutput(DESCRIPTION.name)]
            response = self._triton.infer(self.model, [tensor], outputs=wanted, client_timeout=self.timeout_s)
        return Description.parse(response.as_numpy(DESCRIPTION.name)[0, 0])

    def classify(
        self,
        images: Sequence[ImageLike],
        *,
        operating_point: str | None = None,
        max_stage: int | None = None,
        details: bool = False,
        encoded: bool = False,
    ) -> list[Classification]:
        """Classify images, in requests as large as the server accepts.

        Args:
            images: Paths, encoded bytes, PIL images, or arrays UINT8 [H, W, 3] (RGB) or [H, W] (grey).
            operating_point: Name of an operating point in the served cascade.json; its default thresholds if None.
            max_stage: The last stage that may run; 1 is the first.
            details: Whether to return the probabilities and the confidence at each stage.
            encoded: Whether to send JPEG, PNG or WebP images as they are stored, for the server to decode. Images are
                then paths or encoded bytes.

        Returns:
            One classification per image, in order.

        Raises:
            InvalidImage: an image cannot be used; the message names its index and the reason.
            InvalidRequest: the server rejects the operating point or max_stage.
            ModelNotFound: the server does not serve the cascade, or does not take encoded images.
            CascadeError: the server did not answer, was too slow or failed; see `cascade_client.errors`.
        """
        _check_is_list(images)
        given = {OPERATING_POINT: operating_point, MAX_STAGE: None if max_stage is None else _whole(max_stage)}
        parameters = {name: value for name, value in given.items() if value is not None}
        ask = self._ask_encoded if encoded else self._ask_canvases
        responses = ask(images, parameters, details)
        return [result for response in responses for result in read_results(response, details)]

    def _metadata(self) -> Any:  # noqa: ANN401 (protobuf)
        try:
            with typed_errors(self.url):
                return self._triton.get_model_metadata(self.model, client_timeout=self.timeout_s)
        except ModelNotFound as error:
            raise ModelNotFound(
                f"{self.url} serves no cascade called {self.model!r}; choose one with build-cascade search and "
                "serve it (make serve), or pass another model name"
            ) from error

    def _canvas(self, image: ImageLike, index: int) -> Canvas:
        try:
            return to_canvas(image, self.status.canvas)
        except UnusableImage as error:
            raise InvalidImage(f"image {index}: {error}") from error

    def _ask_canvases(
        self, images: Sequence[ImageLike], parameters: Parameters, details: bool
    ) -> Iterator[InferResult]:
        canvases = [self._canvas(image, index) for index, image in enumerate(images)]
        for _, batch in self._batches(canvases):
            tensor = _input(IMAGE, np.stack(batch))
            yield self._infer(self.model, tensor, parameters, details)

    def _ask_encoded(self, images: Sequence[ImageLike], parameters: Parameters, details: bool) -> Iterator[InferResult]:
        encoded = [read_encoded(image, index) for index, image in enumerate(images)]
        for start, batch in self._batches(encoded):
            tensor = _input(ENCODED, np.array(batch, dtype=object)[:, None])
            try:
                yield self._infer(self.model + ENCODED_SUFFIX, tensor, parameters, details)
            except CascadeError as error:
                raise as_encoded_error(error, start) from error

    def _batches(self, prepared: list[Prepared]) -> Iterator[tuple[int, list[Prepared]]]:
        """Split a list into requests; yield the index at which each starts, and its part."""
        size = self.status.max_batch_size if prepared else 1
        for start in range(0, len(prepared), size):
            yield start, prepared[start : start + size]

    def _infer(self, model: str, tensor: InferInput, parameters: Parameters, details: bool) -> InferResult:
        wanted = [InferRequestedOutput(output.name) for output in (*ANSWER, *(DETAILS if details else ()))]
        with typed_errors(self.url):
            return self._triton.infer(
                model, [tensor], outputs=wanted, parameters=parameters, client_timeout=self.timeout_s
            )


def _input(spec: TensorSpec, values: npt.NDArray[Any]) -> InferInput:
    tensor = InferInput(spec.name, list(values.shape), spec.datatype)
    tensor.set_data_from_numpy(values)
    return tensor


def _whole(max_stage: int) -> int:
    """Return a plain int, because gRPC does not take numpy's."""
    try:
        return operator.index(max_stage)
    except TypeError as error:
        raise InvalidRequest(f"{MAX_STAGE} must be a positive integer, not {max_stage!r}") from error


def _check_is_list(images: object) -> None:
    single = isinstance(images, str | bytes | Path | Image.Image)
    if single or (isinstance(images, np.ndarray) and images.ndim != IMAGES_AXES):
        raise InvalidImage(f"expected a list of images, got a single {type(images).__name__}: call classify([image])")
