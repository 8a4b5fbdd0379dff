"""Who runs which stage's call, and when."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from dataclasses import dataclass

import pytest

from cascade_serving.limits import SchedulerLimits
from cascade_serving.scheduler import Scheduler
from tests.support.serving import eventually

IMAGES, STAGES = 300, 3


class Executor:
    """As much of a stage as the scheduler sees; a task is an image's number, and goes on to the next stage."""

    def __init__(self, place, calls, seen, seconds=0.0):
        self.place, self.calls, self.seen, self.seconds = place, calls, seen, seconds
        self.waiting, self.scheduler = [], None

    @property
    def is_ready(self):
        return bool(self.waiting) and self.calls > self.seen.now[self.place]

    @property
    def oldest_sequence(self):
        return min(task.image for task in self.waiting)

    def enqueue(self, task):
        self.waiting.append(task)

    def begin_call(self):
        batch, self.waiting = self.waiting[:4], self.waiting[4:]
        self.seen.begin(self.place)
        return batch

    def end_call(self):
        self.seen.now[self.place] -= 1

    def run(self, batch):
        time.sleep(self.seconds)
        self.seen.order += [(self.place, part.image) for part in batch]

    def deliver(self, batch):
        if self.place + 1 < STAGES:
            self.scheduler.submit([Task(self.place + 1, part.image) for part in batch])


class Seen:
    def __init__(self):
        self.now, self.most, self.most_of_all, self.order = [0] * STAGES, [0] * STAGES, 0, []

    def begin(self, place):
        self.now[place] += 1
        self.most[place] = max(self.most[place], self.now[place])
        self.most_of_all = max(self.most_of_all, sum(self.now))


@dataclass(frozen=True)
class Task:
    stage: int
    image: int


def scheduler_of(limits, seconds=(0.001,) * STAGES):
    seen = Seen()
    executors = [Executor(place, limits.max_calls_per_stage, seen, seconds[place]) for place in range(STAGES)]
    scheduler = Scheduler(executors, limits)
    for executor in executors:
        executor.scheduler = scheduler
    return scheduler, seen


LIMITS = {
    "bls": SchedulerLimits.for_bls(STAGES, None),
    "bls, two calls": SchedulerLimits.for_bls(STAGES, 2),
    "one core": SchedulerLimits.for_in_process(1, None),
    "four cores": SchedulerLimits.for_in_process(4, None),
    "four cores, one call": SchedulerLimits.for_in_process(4, 1),
}


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
def test_every_image_goes_through_every_stage_once_within_the_limits(limits):
    scheduler, seen = scheduler_of(limits)
    scheduler.start()

    def submit(first):
        for image in range(first, IMAGES, 4):
            scheduler.submit([Task(0, image)], run_inline=first % 2 == 1)

    clients = [threading.Thread(target=submit, args=(first,)) for first in range(4)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    eventually(lambda: len(seen.order), STAGES * IMAGES)  # without the help of closing, which wakes all
    scheduler.close()
    assert sorted(seen.order) == [(place, image) for place in range(STAGES) for image in range(IMAGES)]
    assert max(seen.most) <= limits.max_calls_per_stage
    assert 1 < seen.most_of_all <= limits.max_calls


def test_closing_waits_for_images_that_are_sent_on():
    scheduler, seen = scheduler_of(LIMITS["bls"], seconds=(0.05, 0.05, 0.05))
    scheduler.start()
    scheduler.submit([Task(0, 7)])
    scheduler.close()
    assert seen.order == [(0, 7), (1, 7), (2, 7)]


def test_later_stages_go_first_and_there_the_oldest_request():
    one_call = SchedulerLimits(max_calls=1, max_calls_per_stage=1, threads=1, reserved_for_first=0, max_batches=1)
    scheduler, seen = scheduler_of(one_call)
    scheduler.submit([Task(0, 1), Task(1, 5), Task(2, 3)])
    scheduler.start()
    scheduler.close()
    assert seen.order[:3] == [(2, 3), (1, 5), (2, 5)]
    assert seen.order[3] == (0, 1)


def test_a_call_is_reserved_for_the_first_stage():
    """However much there is for the others."""
    scheduler, seen = scheduler_of(SchedulerLimits.for_in_process(2, None), seconds=(0.001, 0.05, 0.05))
    scheduler.submit([Task(2, image) for image in range(40)])
    scheduler.start()
    scheduler.submit([Task(0, 99)])
    scheduler.close()
    assert seen.most[2] == 2
    assert seen.order.index((0, 99)) < 10


def test_a_thread_that_waits_holds_no_request():
    """It would keep its images in shared memory until the next call."""
    scheduler, seen = scheduler_of(LIMITS["four cores"])
    scheduler.start()
    image = Task(STAGES - 1, 7)
    gone = weakref.ref(image)
    scheduler.submit([image])
    del image
    eventually(lambda: seen.order, [(STAGES - 1, 7)])
    eventually(lambda: (gc.collect(), gone())[1], None)
    scheduler.close()


@pytest.mark.parametrize(
    ("limits", "run_inline", "is_busy", "runs"),
    [
        (SchedulerLimits.for_in_process(2, None), True, False, True),
        (SchedulerLimits.for_in_process(2, None), True, True, False),
        (SchedulerLimits.for_in_process(2, None), False, False, False),
        (SchedulerLimits.for_bls(STAGES, None), True, False, False),  # a stage elsewhere may take long to answer
    ],
)
def test_a_single_image_is_run_inline_if_nothing_is_under_way(limits, run_inline, is_busy, runs):
    scheduler, seen = scheduler_of(limits, seconds=(0.05, 0.2, 0))
    scheduler.start()
    if is_busy:
        scheduler.submit([Task(1, 100)])
        eventually(lambda: seen.now[1], 1)
    scheduler.submit([Task(0, 0)], run_inline=run_inline)
    assert ((0, 0) in seen.order) == runs
    eventually(lambda: (2, 0) in seen.order, True)
    scheduler.close()
