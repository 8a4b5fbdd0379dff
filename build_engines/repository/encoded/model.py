"""Encoded images to canvases, as Triton's Python backend runs it: the first step of `cascade_encoded`."""

from __future__ import annotations

import json
import warnings
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import triton_python_backend_utils as pb_utils
from canvas import Canvas, UnusableImage, to_canvas
from contract import ENCODED, IMAGE
from cores import usable_cores
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP")


class TritonPythonModel:
    """The model `decode`: JPEG, PNG and WebP images to canvases; an unusable image fails only its own request."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Read the canvas and the size limit from the model's configuration."""
        config = json.loads(arguments["model_config"])
        self._canvas = int(config["output"][0]["dims"][0])
        # Pillow warns of an image above its limit, and refuses one above twice its limit.
        Image.MAX_IMAGE_PIXELS = int(config["parameters"]["max_pixels"]["string_value"]) // 2
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        self._threads = ThreadPoolExecutor(usable_cores())

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[None]:
        """Decode all images of a batch of requests in parallel: BYTES [n, 1] each to UINT8 [n, S, S, 3]."""
        started = [(request.get_response_sender(), self._start(request)) for request in requests]
        for sender, decoding in started:
            # Sent at once: a request must not wait for a large image in one behind it.
            sender.send(_answer(decoding), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return [None] * len(requests)

    def finalize(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def _start(self, request: pb_utils.InferenceRequest) -> list[Future[Canvas]]:
        encoded = pb_utils.get_input_tensor_by_name(request, ENCODED.name).as_numpy()[:, 0]
        return [self._threads.submit(to_canvas, bytes(image), self._canvas, FORMATS) for image in encoded]


def _answer(decoding: list[Future[Canvas]]) -> pb_utils.InferenceResponse:
    canvases = []
    for place, future in enumerate(decoding):
        try:
            canvases.append(future.result())
        except UnusableImage as error:
            return _error(f"image {place}: {error}", pb_utils.TritonError.INVALID_ARG)
        except Exception as error:  # raised, it would fail the whole batch
            return _error(f"image {place}: {error!r}", pb_utils.TritonError.INTERNAL)
    return pb_utils.InferenceResponse([pb_utils.Tensor(IMAGE.name, np.stack(canvases))])


def _error(message: str, code: pb_utils.ErrorCode) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
