from __future__ import annotations

from cascade_serving.limits import SchedulerLimits


def test_a_stage_of_one_concurrent_call_takes_all_that_waits():
    """To divide images among calls that cannot be concurrent only makes more calls of them."""
    limits = [SchedulerLimits.for_in_process(4, calls) for calls in (None, 1, 2, 9)]
    assert [each.max_batches for each in limits] == [4, 1, 2, 4]
