"""The scheduler: which stage's call runs next, and the threads that run it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cascade_serving.limits import SchedulerLimits

if TYPE_CHECKING:
    from cascade_serving.request_state import BatchSlice, StageTask


class Executor(Protocol):
    """A stage as the scheduler sees it; the scheduler holds its lock around all but `run` and `deliver`."""

    @property
    def is_ready(self) -> bool:
        """Return whether images wait and the stage may have another call."""

    @property
    def oldest_sequence(self) -> int:
        """Return the sequence number of the oldest request that waits; only if images wait."""

    def enqueue(self, task: StageTask) -> None:
        """Add images to those that wait."""

    def begin_call(self) -> list[BatchSlice]:
        """Count a call as begun; remove and return its images."""

    def end_call(self) -> None:
        """Count a call as ended."""

    def run(self, batch: Sequence[BatchSlice]) -> None:
        """Call the stage's model; never raise."""

    def deliver(self, batch: Sequence[BatchSlice]) -> None:
        """Send the requests on that have their answers, to a later stage through `Scheduler.submit`; never raise."""


class Call(NamedTuple):
    """A call of a stage that has begun."""

    executor: Executor
    batch: list[BatchSlice]


class Scheduler:
    """Threads of which any may run any stage's next call.

    Later stages go first, and among them the stage whose waiting request is the oldest: what has begun is to end. The
    first stage has the calls that they leave over, and those reserved for it.

    One condition, `_changed`, guards all that threads share: the executors' queues and call counts, `_free_calls`,
    `_busy` and `_is_open`.

    - A thread waits on it only after it has found, under the lock, that no call can begin. A call can begin once images
      have been submitted or another call has ended; both then wake one thread. One is enough: each thread that begins a
      call wakes the next if another call can begin.
    - `_free_calls` counts calls that may begin; a call is free again as soon as the model has answered. `_busy` counts
      calls from their beginning until their answers are delivered too. A delivery may submit images to a later stage,
      so closing waits for `_busy` to be zero, not for all calls to be free.
    - The models are called and the answers delivered without the lock: a call may take seconds, and a delivery submits.
    """

    def __init__(self, executors: Sequence[Executor], limits: SchedulerLimits) -> None:
        self._executors = executors
        self._first, self._later = executors[0], executors[1:]
        self._limits = limits
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(limits.threads)]
        self._changed = threading.Condition()
        self._free_calls = limits.max_calls
        self._busy = 0
        self._is_open = True

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def submit(self, tasks: Sequence[StageTask], *, run_inline: bool = False) -> None:
        """Enqueue tasks, each at its stage.

        Args:
            tasks: The tasks, of one request.
            run_inline: Whether the calling thread may make their first call itself, within the limits, if no other work
                is under way.
        """
        with self._changed:
            run_inline = run_inline and self._limits.run_inline and not self._busy and self._next_executor() is None
            for task in tasks:
                self._executors[task.stage].enqueue(task)
            call = self._begin_call() if run_inline else None
            self._wake_one()
        if call is not None:
            self._make(call)

    def close(self) -> None:
        """Return when all that was submitted has been delivered."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while self._make_next_call():
            pass

    def _make_next_call(self) -> bool:
        """Make one call; return False once closed. A function of its own: a waiting thread must hold no images."""
        call = self._wait_for_call()
        if call is None:
            return False
        self._make(call)
        return True

    def _wait_for_call(self) -> Call | None:
        with self._changed:
            while (call := self._begin_call()) is None:
                if not self._is_open and not self._busy:
                    return None
                self._changed.wait()
            self._wake_one()
            return call

    def _make(self, call: Call) -> None:
        call.executor.run(call.batch)
        self._end_call(call.executor)
        call.executor.deliver(call.batch)
        self._end_delivery()

    def _begin_call(self) -> Call | None:
        executor = self._next_executor()
        if executor is None:
            return None
        self._busy += 1
        self._free_calls -= 1
        return Call(executor, executor.begin_call())

    def _end_call(self, executor: Executor) -> None:
        with self._changed:
            executor.end_call()
            self._free_calls += 1
            self._wake_one()

    def _end_delivery(self) -> None:
        with self._changed:
            self._busy -= 1
            if not self._is_open:
                self._changed.notify_all()  # every waiting thread is to see that none is busy, and end

    def _wake_one(self) -> None:
        if self._next_executor() is not None:
            self._changed.notify()

    def _next_executor(self) -> Executor | None:
        if self._free_calls > self._limits.reserved_for_first:
            ready = [executor for executor in self._later if executor.is_ready]
            if ready:
                return min(ready, key=lambda executor: executor.oldest_sequence)
        return self._first if self._free_calls and self._first.is_ready else None
