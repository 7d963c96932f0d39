"""How long single calls take, on the wall and on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

WARM_UP = 5


def timed(call: Callable[[Any], Any], inputs: Iterable[Any]) -> dict[str, float]:
    """Milliseconds of calls one after the other: median and 99th percentile on the wall, and the median on the CPU."""
    inputs = list(inputs)
    for one in inputs[:WARM_UP]:
        call(one)
    wall, cpu = [], []
    for one in inputs:
        start, begin = time.perf_counter(), time.process_time()
        call(one)
        cpu.append(time.process_time() - begin)
        wall.append(time.perf_counter() - start)
    p50, p99 = np.percentile(wall, [50, 99]) * 1e3
    return {"p50": float(p50), "p99": float(p99), "cpu": float(np.median(cpu)) * 1e3}
