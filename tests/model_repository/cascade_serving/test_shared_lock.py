from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from cascade_serving.shared_lock import SharedLock


def test_exclusive_holders_are_alone_and_sharers_are_together():
    shared_lock, lock, inside = SharedLock(), threading.Lock(), []
    seen = {"shared": set(), "exclusive": set()}

    def go(place):
        mode = "exclusive" if place % 5 == 0 else "shared"
        with getattr(shared_lock, mode)():
            with lock:
                inside.append(mode)
            time.sleep(0.001)
            with lock:
                seen[mode].add(tuple(sorted(inside)))
                inside.remove(mode)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(go, range(400)))
    assert seen["exclusive"] == {("exclusive",)}
    assert max(map(len, seen["shared"])) > 1
    assert all(set(shared) == {"shared"} for shared in seen["shared"])
