"""Which split each event belongs to."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tfrec.schema import EVENT_POSITION, EVENT_TIME_MS, SPLITS, LeaveOneOut, Random, Split, Temporal
from transforms.read.typed import SOURCE
from transforms.steps.mix import mix64
from transforms.steps.order import USER_START

TRAIN, VALIDATION, TEST = range(len(SPLITS))


def assign_split(events: pa.Table, split: Split, cuts: tuple[int, int] | None) -> np.ndarray:
    """int8 [rows], an index into `SPLITS`, for ordered events.

    Args:
        events: a partition from `order_events`.
        split: the strategy.
        cuts: for `Temporal`, the times in ms from which events are validation and test.

    """
    if isinstance(split, LeaveOneOut):
        return _leave_one_out(events)
    if isinstance(split, Temporal):
        assert cuts is not None
        time = events.column(EVENT_TIME_MS).to_numpy()
        return np.searchsorted(np.array(cuts), time, side="right").astype(np.int8)
    assert isinstance(split, Random)
    uniform = mix64(events.column(SOURCE).to_numpy(), split.seed) / 2.0**64
    edges = np.array([1 - split.validation - split.test, 1 - split.test])
    return np.searchsorted(edges, uniform, side="right").astype(np.int8)


def _leave_one_out(events: pa.Table) -> np.ndarray:
    position = events.column(EVENT_POSITION).to_numpy()
    start = events.column(USER_START).to_numpy()
    counts = np.bincount(start, minlength=len(start))[start]
    from_end = counts - 1 - position
    result = np.full(len(position), TRAIN, dtype=np.int8)
    result[(from_end == 0) & (counts >= 3)] = TEST
    result[(from_end == 1) & (counts >= 3)] = VALIDATION
    return result


def temporal_cuts(times: np.ndarray, counts: np.ndarray, split: Temporal) -> tuple[int, int]:
    """Times in ms from which events are validation and test.

    Args:
        times: distinct times, ascending. int64 [n]
        counts: events at each. int64 [n]
        split: the shares. Each cut is the latest time that leaves at least the share of events from it on; a share
            of 0 puts the cut behind the last event.

    """
    total = counts.sum()
    after = np.cumsum(counts[::-1])[::-1]  # events at or after each time

    def cut(share: float) -> int:
        if share <= 0:
            return int(times[-1]) + 1
        wanted = share * total * (1 - 1e-12)  # 0.1 + 0.2 is a little above 0.3
        return int(times[np.flatnonzero(after >= wanted)[-1]])

    test = cut(split.test)
    return min(cut(split.test + split.validation), test), test
