"""The queue before a stage."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cascade_serving.request_state import BatchSlice, StageTask


class StageQueue:
    """The images that wait for one stage, those of the oldest request first.

    This is what makes a stage fair: a hard image waits for no image that arrived after it, whatever stream of easy ones
    follows. It has no lock of its own: the scheduler's is held around every use.

    Attributes:
        pending_count: The number of images that wait.
    """

    def __init__(self) -> None:
        self._tasks: list[tuple[int, StageTask]] = []  # a heap by sequence: a request has at most one task per stage
        self.pending_count = 0

    @property
    def oldest_sequence(self) -> int:
        """Return the sequence number of the oldest request that waits."""
        return self._tasks[0][0]

    def enqueue(self, task: StageTask) -> None:
        """Add a request's images."""
        self.pending_count += task.pending_count
        heapq.heappush(self._tasks, (task.state.request.sequence, task))

    def pop_batch(self, max_images: int) -> list[BatchSlice]:
        """Remove and return the first images, `max_images` at most; a large request may be split between batches."""
        batch: list[BatchSlice] = []
        remaining = max_images
        while self._tasks and remaining:
            _, oldest = self._tasks[0]
            batch.append(oldest.pop_slice(remaining))
            remaining -= len(batch[-1].rows)
            if not oldest.pending_count:
                heapq.heappop(self._tasks)
        self.pending_count -= max_images - remaining
        return batch
