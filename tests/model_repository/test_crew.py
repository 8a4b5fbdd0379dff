"""Who runs which stage's call, and when."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
from serving import eventually

from crew import Crew

IMAGES, STAGES = 300, 3


class Station:
    """As much of a station as the crew sees; a visit is an image's number, and goes on to the next stage."""

    def __init__(self, place, calls, seen, seconds=0.0):
        self.place, self.calls, self.seen, self.seconds = place, calls, seen, seconds
        self.waiting, self.crew = [], None

    @property
    def is_ready(self):
        return bool(self.waiting) and self.calls > self.seen.now[self.place]

    def response_ratio(self, now_s):
        return (now_s - self.waiting[0].arrived_s) / (self.seconds or 1.0)

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
            self.crew.put([visit(self.place + 1, piece.image) for piece in pieces])


class Seen:
    def __init__(self):
        self.now, self.most, self.most_of_all, self.order = [0] * STAGES, [0] * STAGES, 0, []

    def begin(self, place):
        self.now[place] += 1
        self.most[place] = max(self.most[place], self.now[place])
        self.most_of_all = max(self.most_of_all, sum(self.now))


def visit(stage, image, arrived_s=0.0):
    return SimpleNamespace(stage=stage, image=image, arrived_s=arrived_s)


def crew_of(calls_of_one, calls, threads, seconds=(0.001,) * STAGES):
    seen = Seen()
    stations = [Station(place, calls_of_one, seen, seconds[place]) for place in range(STAGES)]
    crew = Crew(stations, calls, threads)
    for station in stations:
        station.crew = crew
    return crew, seen


@pytest.mark.parametrize(("calls_of_one", "calls", "threads"), [(1, 3, 6), (2, 6, 12), (3, 3, 3), (1, 1, 1), (2, 3, 8)])
def test_every_image_goes_through_every_stage_once_within_the_limits(calls_of_one, calls, threads):
    crew, seen = crew_of(calls_of_one, calls, threads)
    crew.start()
    clients = [
        threading.Thread(target=lambda n=n: [crew.put([visit(0, i)]) for i in range(n, IMAGES, 4)]) for n in range(4)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    eventually(lambda: len(seen.order), STAGES * IMAGES)  # without the help of closing, which wakes all
    crew.close()
    assert sorted(seen.order) == [(place, image) for place in range(STAGES) for image in range(IMAGES)]
    assert max(seen.most) <= calls_of_one
    assert seen.most_of_all <= calls
    assert seen.most_of_all > 1 or calls == 1


def test_closing_waits_for_images_that_are_sent_on():
    crew, seen = crew_of(1, 3, 6, seconds=(0.05, 0.05, 0.05))
    crew.start()
    crew.put([visit(0, 7)])
    crew.close()
    assert seen.order == [(0, 7), (1, 7), (2, 7)]


def test_the_stage_goes_first_whose_image_waited_longest_for_what_it_takes():
    """Waiting for 1 s means more to a short stage than 5 s to one ten times as long; 20 s do not."""
    crew, seen = crew_of(1, 1, 1, seconds=(0.001, 0.01, 0.01))
    now_s = time.monotonic()
    crew.put([visit(1, 5, now_s - 5), visit(0, 1, now_s - 1), visit(2, 20, now_s - 20)])
    crew.start()
    crew.close()
    assert seen.order[:3] == [(2, 20), (0, 1), (1, 5)]
