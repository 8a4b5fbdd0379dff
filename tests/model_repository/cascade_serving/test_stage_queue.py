from __future__ import annotations

from types import SimpleNamespace

from cascade_serving.stage_queue import StageQueue


class Task:
    """As much of a task as the queue sees."""

    def __init__(self, sequence, pending_count):
        self.state = SimpleNamespace(request=SimpleNamespace(sequence=sequence))
        self.sequence, self.pending_count = sequence, pending_count

    def pop_slice(self, max_images):
        count = min(max_images, self.pending_count)
        self.pending_count -= count
        return SimpleNamespace(sequence=self.sequence, rows=range(count))


def popped(queue, max_images):
    return [(part.sequence, len(part.rows)) for part in queue.pop_batch(max_images)]


def test_the_oldest_request_goes_first_whenever_it_reached_the_queue():
    queue = StageQueue()
    for sequence in (5, 3, 9, 1):
        queue.enqueue(Task(sequence, 1))
    assert (queue.oldest_sequence, queue.pending_count) == (1, 4)
    assert popped(queue, 2) == [(1, 1), (3, 1)]
    queue.enqueue(Task(2, 1))
    assert popped(queue, 8) == [(2, 1), (5, 1), (9, 1)]


def test_a_batch_is_no_larger_than_the_stage_takes_and_a_large_request_is_split():
    queue = StageQueue()
    queue.enqueue(Task(0, 3))
    queue.enqueue(Task(1, 11))
    assert popped(queue, 8) == [(0, 3), (1, 5)]
    assert popped(queue, 8) == [(1, 6)]
    assert queue.pending_count == 0
    assert popped(queue, 8) == []
