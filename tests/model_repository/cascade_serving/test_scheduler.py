"""Who runs which stage's call, and when."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from dataclasses import dataclass

import pytest

from cascade_serving.scheduler import Crew, CrewSize
from tests.support.serving import eventually

IMAGES, STAGES = 300, 3


class Station:
    """As much of a station as the crew sees; a visit is an image's number, and goes on to the next stage."""

    def __init__(self, place, calls, seen, seconds=0.0):
        self.place, self.calls, self.seen, self.seconds = place, calls, seen, seconds
        self.waiting, self.crew = [], None

    @property
    def is_ready(self):
        return bool(self.waiting) and self.calls > self.seen.now[self.place]

    @property
    def oldest(self):
        return min(visit.image for visit in self.waiting)

    def put(self, visit):
        self.waiting.append(visit)

    def take(self):
        pieces, self.waiting = self.waiting[:4], self.waiting[4:]
        self.seen.begin(self.place)
        return pieces

    def end_call(self):
        self.seen.now[self.place] -= 1

    def call(self, pieces):
        time.sleep(self.seconds)
        self.seen.order += [(self.place, piece.image) for piece in pieces]

    def hand_over(self, pieces):
        if self.place + 1 < STAGES:
            self.crew.put([Visit(self.place + 1, piece.image) for piece in pieces])


class Seen:
    def __init__(self):
        self.now, self.most, self.most_of_all, self.order = [0] * STAGES, [0] * STAGES, 0, []

    def begin(self, place):
        self.now[place] += 1
        self.most[place] = max(self.most[place], self.now[place])
        self.most_of_all = max(self.most_of_all, sum(self.now))


@dataclass(frozen=True)
class Visit:
    stage: int
    image: int


def crew_of(size, seconds=(0.001,) * STAGES):
    seen = Seen()
    stations = [Station(place, size.calls_of_one, seen, seconds[place]) for place in range(STAGES)]
    crew = Crew(stations, size)
    for station in stations:
        station.crew = crew
    return crew, seen


SIZES = {
    "bls": CrewSize.by_bls(STAGES, None),
    "bls, two calls": CrewSize.by_bls(STAGES, 2),
    "one core": CrewSize.in_process(1, None),
    "four cores": CrewSize.in_process(4, None),
    "four cores, one call": CrewSize.in_process(4, 1),
}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_every_image_goes_through_every_stage_once_within_the_limits(size):
    crew, seen = crew_of(size)
    crew.start()
    clients = [
        threading.Thread(target=lambda n=n: [crew.put([Visit(0, i)], may_call=n % 2) for i in range(n, IMAGES, 4)])
        for n in range(4)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    eventually(lambda: len(seen.order), STAGES * IMAGES)  # without the help of closing, which wakes all
    crew.close()
    assert sorted(seen.order) == [(place, image) for place in range(STAGES) for image in range(IMAGES)]
    assert max(seen.most) <= size.calls_of_one
    assert 1 < seen.most_of_all <= size.calls


def test_closing_waits_for_images_that_are_sent_on():
    crew, seen = crew_of(SIZES["bls"], seconds=(0.05, 0.05, 0.05))
    crew.start()
    crew.put([Visit(0, 7)])
    crew.close()
    assert seen.order == [(0, 7), (1, 7), (2, 7)]


def test_later_stages_go_first_and_there_the_oldest_request():
    crew, seen = crew_of(CrewSize(calls=1, calls_of_one=1, threads=1, kept_calls=0, parts=1))
    crew.put([Visit(0, 1), Visit(1, 5), Visit(2, 3)])
    crew.start()
    crew.close()
    assert seen.order[:3] == [(2, 3), (1, 5), (2, 5)]
    assert seen.order[3] == (0, 1)


def test_a_call_is_kept_for_the_first_stage():
    """However much there is for the others."""
    crew, seen = crew_of(CrewSize.in_process(2, None), seconds=(0.001, 0.05, 0.05))
    crew.put([Visit(2, image) for image in range(40)])
    crew.start()
    crew.put([Visit(0, 99)])
    crew.close()
    assert seen.most[2] == 2
    assert seen.order.index((0, 99)) < 10


def test_one_call_of_a_stage_at_once_takes_all_that_waits():
    """To divide images among calls that cannot be under way together only makes more calls of them."""
    assert [CrewSize.in_process(4, calls).parts for calls in (None, 1, 2, 9)] == [4, 1, 2, 4]


def test_a_thread_that_waits_holds_no_request():
    """It would keep its images in shared memory until the next call."""
    crew, seen = crew_of(SIZES["four cores"])
    crew.start()
    image = Visit(STAGES - 1, 7)
    gone = weakref.ref(image)
    crew.put([image])
    del image
    eventually(lambda: seen.order, [(STAGES - 1, 7)])
    eventually(lambda: (gc.collect(), gone())[1], None)
    crew.close()


@pytest.mark.parametrize(
    ("size", "may_call", "is_busy", "calls"),
    [
        (CrewSize.in_process(2, None), True, False, True),
        (CrewSize.in_process(2, None), True, True, False),
        (CrewSize.in_process(2, None), False, False, False),
        (CrewSize.by_bls(STAGES, None), True, False, False),  # a stage elsewhere may take long to answer
    ],
)
def test_who_brings_a_lone_image_calls_its_stage_if_nothing_is_under_way(size, may_call, is_busy, calls):
    crew, seen = crew_of(size, seconds=(0.05, 0.2, 0))
    crew.start()
    if is_busy:
        crew.put([Visit(1, 100)])
        eventually(lambda: seen.now[1], 1)
    crew.put([Visit(0, 0)], may_call=may_call)
    assert ((0, 0) in seen.order) == calls
    eventually(lambda: (2, 0) in seen.order, True)
    crew.close()
