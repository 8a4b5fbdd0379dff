from __future__ import annotations

import threading

import pytest

from cascade_serving.admission import AdmissionLimit


@pytest.mark.parametrize("wait", [True, False])
def test_admission_is_bounded(wait):
    limit = AdmissionLimit(4)
    assert limit.acquire(3, wait=wait)
    assert not limit.acquire(2, wait=False)
    limit.release(1)
    assert limit.acquire(2, wait=wait)


def test_whoever_waits_is_admitted_once_it_fits():
    limit = AdmissionLimit(4)
    limit.acquire(4, wait=False)
    waiting = threading.Thread(target=limit.acquire, args=(3,), kwargs={"wait": True})
    waiting.start()
    limit.release(2)
    assert waiting.is_alive()
    limit.release(1)
    waiting.join(timeout=10)
    assert not waiting.is_alive()
    assert not limit.acquire(1, wait=False)
