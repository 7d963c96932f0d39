"""How long single calls take: each one's wall time, and the CPU time of all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

WARM_UP = 5


def timed(call: Callable[[Any], Any], inputs: Iterable[Any]) -> dict[str, float]:
    """Milliseconds of calls one after the other: median and 99th percentile on the wall, mean on the CPU."""
    inputs = list(inputs)
    for one in inputs[:WARM_UP]:
        call(one)
    wall, begin = [], time.process_time()
    for one in inputs:
        start = time.perf_counter()
        call(one)
        wall.append(time.perf_counter() - start)
    cpu = (time.process_time() - begin) / len(inputs)
    p50, p99 = np.percentile(wall, [50, 99]) * 1e3
    return {"p50": float(p50), "p99": float(p99), "cpu": cpu * 1e3}
