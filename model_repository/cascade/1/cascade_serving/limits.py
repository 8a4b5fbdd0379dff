"""How much the cascade may do at once, by the way its stages are called."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SchedulerLimits:
    """The scheduler's threads and the calls that they may have under way.

    Attributes:
        max_calls: The most concurrent calls, of all stages together.
        max_calls_per_stage: The most concurrent calls of one stage.
        threads: Worker threads. With more threads than `max_calls`, another thread makes the next call as soon as one
            returns, while the first still delivers its answers: a GPU must not wait for Python.
        reserved_for_first: Calls out of `max_calls` that only stage 1 may use, so easy images never wait for hard ones.
        max_batches: The number of calls among which a stage's waiting images are divided.
        run_inline: Whether the thread that submits an image may make its first call itself if no other work is under
            way: no worker thread has to be woken.
    """

    max_calls: int
    max_calls_per_stage: int
    threads: int
    reserved_for_first: int
    max_batches: int
    run_inline: bool = False

    @classmethod
    def for_bls(cls, stage_count: int, max_calls_per_stage: int | None) -> SchedulerLimits:
        """Return limits for stages that run in other processes or on a GPU: each stage has calls of its own."""
        per_stage = max_calls_per_stage or 1
        calls = per_stage * stage_count
        return cls(calls, per_stage, threads=2 * calls, reserved_for_first=0, max_batches=1)

    @classmethod
    def for_in_process(cls, cores: int, max_calls_per_stage: int | None) -> SchedulerLimits:
        """Return limits for stages that run in this process, on one core per call.

        There is one call more than there are cores, reserved for the first stage: an easy image then finds a free call
        however many hard ones are under way, and no core idles while a thread waits for Python's global lock.
        """
        calls = cores + 1
        per_stage, batches = max_calls_per_stage or calls, min(cores, max_calls_per_stage or cores)
        return cls(calls, per_stage, threads=calls, reserved_for_first=1, max_batches=batches, run_inline=True)
