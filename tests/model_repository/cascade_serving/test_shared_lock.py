from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from cascade_serving.shared_lock import Turns


def test_whoever_is_alone_is_alone_and_the_others_are_together():
    turns, lock, inside = Turns(), threading.Lock(), []
    seen = {"together": set(), "alone": set()}

    def go(place):
        kind = "alone" if place % 5 == 0 else "together"
        with getattr(turns, kind)():
            with lock:
                inside.append(kind)
            time.sleep(0.001)
            with lock:
                seen[kind].add(tuple(sorted(inside)))
                inside.remove(kind)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(go, range(400)))
    assert seen["alone"] == {("alone",)}
    assert max(map(len, seen["together"])) > 1
    assert all(set(together) == {"together"} for together in seen["together"])
