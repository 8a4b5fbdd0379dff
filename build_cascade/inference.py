"""Inference of several served backbones on images that are decoded once; several requests in flight, bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from build_cascade.predictions import UNUSABLE, Probabilities
from build_engines.images.canvas import Canvas, UnusableImage
from build_engines.images.source import ImageSource
from build_engines.repository.served_model import ServedModel

BLOCK_IMAGES = 32  # are decoded together
BLOCKS_AHEAD = 2  # being decoded, and as many being answered
REQUEST_IMAGES = 8  # at most
REQUESTS_IN_FLIGHT = 2  # of each backbone

OnImages = Callable[[int, int], None]  # done, total


@dataclass(frozen=True)
class PendingPredictions:
    """One backbone's predictions, not all of them collected yet.

    Attributes:
        backbone: Its name.
        max_batch_size: The most images in one request.
        answers: FP16 [N, C], written to; NaN where it has not answered yet, UNUSABLE where the image cannot be read.
    """

    backbone: str
    max_batch_size: int
    answers: Probabilities

    @property
    def done(self) -> int:
        """How many of the first rows are complete."""
        missing = np.isnan(self.answers[:, 0])
        return int(np.argmax(missing)) if missing.any() else len(self.answers)


@dataclass(frozen=True)
class _Block:
    """Consecutive images, decoded.

    Attributes:
        rows: Which they are.
        images: UINT8 [S, S, 3] each, or why it cannot be used.
    """

    rows: range
    images: Sequence[Canvas | UnusableImage]


def predict_pending(
    pending: Sequence[PendingPredictions], images: ImageSource, canvas: int, url: str, on_images: OnImages
) -> None:
    """Complete the answers of all backbones, from the first image that any of them has not answered.

    Args:
        pending: Of each backbone.
        images: N images.
        canvas: Side of the canvas, in pixels.
        url: host:port of Triton's gRPC service.
        on_images: Called with the number of images done, and their total.

    Raises:
        ServedError: the server cannot be reached, or a backbone fails.
    """
    first = min(one.done for one in pending)
    on_images(first, len(images))
    with ExitStack() as stack:
        decoders = stack.enter_context(_workers(os.cpu_count() or 1))
        senders = [stack.enter_context(_sender(one, url)) for one in pending]
        answering: deque[tuple[int, list[Future[None]]]] = deque()
        for block in _decoded(decoders, images, canvas, first):
            answering.append((block.rows.stop, [future for send in senders for future in send(block)]))
            if len(answering) > BLOCKS_AHEAD:
                on_images(_settled(*answering.popleft()), len(images))
        for stop, futures in answering:
            on_images(_settled(stop, futures), len(images))


def _decoded(decoders: ThreadPoolExecutor, images: ImageSource, canvas: int, first: int) -> Iterator[_Block]:
    """Yield the images from the first on, in blocks; the next blocks are decoded meanwhile."""
    decoding: deque[tuple[range, list[Future[Canvas | UnusableImage]]]] = deque()
    for start in range(first, len(images), BLOCK_IMAGES):
        rows = range(start, min(start + BLOCK_IMAGES, len(images)))
        decoding.append((rows, [decoders.submit(images.decode, row, canvas) for row in rows]))
        if len(decoding) > BLOCKS_AHEAD:
            yield _block(*decoding.popleft())
    while decoding:
        yield _block(*decoding.popleft())


def _block(rows: range, futures: Sequence[Future[Canvas | UnusableImage]]) -> _Block:
    return _Block(rows, [future.result() for future in futures])


@contextmanager
def _sender(pending: PendingPredictions, url: str) -> Iterator[Callable[[_Block], list[Future[None]]]]:
    """Connect to a backbone; yield what sends it the images of a block that it has not answered."""
    size = min(pending.max_batch_size, REQUEST_IMAGES)

    def send(block: _Block) -> list[Future[None]]:
        pairs = zip(block.rows, block.images, strict=True)
        usable = {row: image for row, image in pairs if not isinstance(image, UnusableImage)}
        pending.answers[[row for row in block.rows if row not in usable]] = UNUSABLE
        rows = [row for row in usable if np.isnan(pending.answers[row, 0])]
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        return [workers.submit(answer, part, [usable[row] for row in part]) for part in parts]

    def answer(rows: Sequence[int], canvases: Sequence[Canvas]) -> None:
        pending.answers[rows] = served.infer(np.stack(canvases))

    with ServedModel(url, pending.backbone) as served, _workers(REQUESTS_IN_FLIGHT) as workers:
        yield send


@contextmanager
def _workers(count: int) -> Iterator[ThreadPoolExecutor]:
    """Yield threads; at the end, or at an error, what they have not begun is dropped."""
    workers = ThreadPoolExecutor(count)
    try:
        yield workers
    finally:
        workers.shutdown(cancel_futures=True)


def _settled(stop: int, futures: Sequence[Future[None]]) -> int:
    """Wait for the answers to a block; return the number of images done."""
    for future in futures:
        future.result()
    return stop
