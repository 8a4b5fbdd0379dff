from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from cascade_serving.stage_queue import Room, StageQueue


class Visit:
    """As much of a visit as the queue sees."""

    def __init__(self, ticket, images):
        self.course = SimpleNamespace(job=SimpleNamespace(ticket=ticket))
        self.ticket, self.left = ticket, images

    @property
    def images(self):
        return self.left

    @property
    def is_taken(self):
        return self.left == 0

    def take(self, most):
        count = min(most, self.left)
        self.left -= count
        return SimpleNamespace(ticket=self.ticket, rows=range(count))


def taken(queue, most):
    return [(piece.ticket, len(piece.rows)) for piece in queue.take(most)]


def test_the_oldest_request_goes_first_whenever_it_reached_the_queue():
    queue = StageQueue()
    for ticket in (5, 3, 9, 1):
        queue.put(Visit(ticket, 1))
    assert (queue.oldest, queue.images) == (1, 4)
    assert taken(queue, 2) == [(1, 1), (3, 1)]
    queue.put(Visit(2, 1))
    assert taken(queue, 8) == [(2, 1), (5, 1), (9, 1)]


def test_no_more_is_taken_than_the_stage_takes_and_a_large_request_is_split():
    queue = StageQueue()
    queue.put(Visit(0, 3))
    queue.put(Visit(1, 11))
    assert taken(queue, 8) == [(0, 3), (1, 5)]
    assert taken(queue, 8) == [(1, 6)]
    assert queue.images == 0
    assert taken(queue, 8) == []


@pytest.mark.parametrize("wait", [True, False])
def test_room_is_bounded(wait):
    room = Room(4)
    assert room.take(3, wait=wait)
    assert not room.take(2, wait=False)
    room.give_back(1)
    assert room.take(2, wait=wait)


def test_who_waits_for_room_gets_it():
    room = Room(4)
    room.take(4, wait=False)
    waiting = threading.Thread(target=room.take, args=(3,), kwargs={"wait": True})
    waiting.start()
    room.give_back(2)
    assert waiting.is_alive()
    room.give_back(1)
    waiting.join(timeout=10)
    assert not waiting.is_alive()
    assert not room.take(1, wait=False)
