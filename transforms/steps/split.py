"""Which split each event belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tfrec.schema import (
    EVENT_TIME_MS,
    SPLITS,
    LeaveOneOut,
    PerUser,
    Random,
    Schema,
    Temporal,
    Users,
)
from transforms.read.rejected import FILE_INDEX_SHIFT
from transforms.read.typed import SOURCE
from transforms.steps.mix import hash_tokens, mix64, spread
from transforms.steps.order import USER_START
from transforms.steps.tokens import for_tokens

TRAIN, VALIDATION, TEST = range(len(SPLITS))
HELD_OUT, KEPT = 101, 102  # purposes of hashes


@dataclass(frozen=True)
class SplitPlan:
    """A strategy and what it needs to know of the whole log.

    Attributes:
        schema: holds the strategy.
        cuts: for `Temporal`, the times in ms from which events are validation and test.
        of_file: for `Given`, the name of each event file's split.

    """

    schema: Schema
    cuts: tuple[int, int] | None = None
    of_file: tuple[str | None, ...] = ()

    def assign(self, events: pa.Table) -> np.ndarray:
        """int8 [rows], an index into `SPLITS`, for ordered and numbered events."""
        split = self.schema.split
        if isinstance(split, LeaveOneOut):
            return _leave_one_out(events)
        if isinstance(split, Temporal):
            assert self.cuts is not None
            time = events.column(EVENT_TIME_MS).to_numpy()
            return np.searchsorted(np.array(self.cuts), time, side="right").astype(np.int8)
        if isinstance(split, PerUser):
            return _per_user(events, split)
        if isinstance(split, Users):
            return _by_share(_user_hash(events.column(self.schema.user_id), split.seed), split)
        if isinstance(split, Random):
            return _by_share(mix64(events.column(SOURCE).to_numpy(), split.seed), split)
        index = np.array([SPLITS.index(name) if name else TRAIN for name in self.of_file], np.int8)
        source = events.column(SOURCE).to_numpy()
        found = index[source >> FILE_INDEX_SHIFT]
        if split.validation:
            found[(found == TRAIN) & (spread(source, split.seed, HELD_OUT) < split.validation)] = VALIDATION
        return found


def _by_share(hashes: np.ndarray, split: Users | Random) -> np.ndarray:
    """int8 [rows]: test above 1 − test, validation below it, of hashes spread evenly over uint64."""
    edges = np.array([1 - split.validation - split.test, 1 - split.test])
    return np.searchsorted(edges, hashes / 2.0**64, side="right").astype(np.int8)


def _user_hash(users: pa.ChunkedArray, seed: int) -> np.ndarray:
    """uint64 [rows]: a hash of each row's user id."""
    return for_tokens(users, lambda tokens: hash_tokens(tokens, seed))


def _per_user(events: pa.Table, split: PerUser) -> np.ndarray:
    start = events.column(USER_START).to_numpy()
    rows = np.arange(len(start))
    counts = np.bincount(start, minlength=len(start))[start]
    rank = rows - start
    if split.order == "random":
        order = np.lexsort((mix64(events.column(SOURCE).to_numpy(), split.seed), start))
        rank = np.empty_like(rank)
        rank[order] = rows - start  # users are contiguous, so sorted within each the starts stay
    test = _share_of(counts, split.test)
    validation = _share_of(counts, split.validation)
    result = np.full(len(start), TRAIN, dtype=np.int8)
    result[rank >= counts - test - validation] = VALIDATION
    result[rank >= counts - test] = TEST
    return result


def _share_of(counts: np.ndarray, share: float) -> np.ndarray:
    return np.floor(counts * share + 1e-9).astype(np.int64)  # 0.29 · 100 is a little below 29


def _leave_one_out(events: pa.Table) -> np.ndarray:
    start = events.column(USER_START).to_numpy()
    counts = np.bincount(start, minlength=len(start))[start]
    from_end = counts - 1 - (np.arange(len(start)) - start)
    result = np.full(len(start), TRAIN, dtype=np.int8)
    result[(from_end == 0) & (counts >= 3)] = TEST
    result[(from_end == 1) & (counts >= 3)] = VALIDATION
    return result


COARSE_BITS = 22  # times are first counted in buckets of 2²² ms, some 70 minutes: ten years are 75,000


def buckets_to_refine(coarse: dict[int, int], split: Temporal) -> set[int]:
    """Buckets of time (`time_ms >> COARSE_BITS`) in which the cuts lie; `coarse` has the events of each."""
    buckets = np.array(sorted(coarse))
    times, counts = buckets << COARSE_BITS, np.array([coarse[bucket] for bucket in buckets.tolist()])
    found = {cut >> COARSE_BITS for cut in temporal_cuts(times, counts, split)}
    return {bucket for bucket in found if bucket in coarse} | {int(buckets[-1])}


def refined_cuts(coarse: dict[int, int], fine: dict[int, int], split: Temporal) -> tuple[int, int]:
    """`temporal_cuts` of all events from the counts of buckets and, in those to refine, of single times."""
    refined = {time >> COARSE_BITS for time in fine}
    whole = {bucket << COARSE_BITS: count for bucket, count in coarse.items() if bucket not in refined}
    merged = {**whole, **fine}
    times = np.array(sorted(merged))
    return temporal_cuts(times, np.array([merged[time] for time in times.tolist()]), split)


def temporal_cuts(times: np.ndarray, counts: np.ndarray, split: Temporal) -> tuple[int, int]:
    """Times in ms from which events are validation and test.

    Args:
        times: distinct times, ascending. int64 [n]
        counts: events at each. int64 [n]
        split: the shares. Each cut is the latest time that leaves at least the share of events from it on; a share
            of 0 puts the cut behind the last event.

    """
    if split.cuts_ms is not None:
        return split.cuts_ms
    total = counts.sum()
    after = np.cumsum(counts[::-1])[::-1]  # events at or after each time

    def cut(share: float) -> int:
        if share <= 0:
            return int(times[-1]) + 1
        wanted = share * total * (1 - 1e-12)  # 0.1 + 0.2 is a little above 0.3
        return int(times[np.flatnonzero(after >= wanted)[-1]])

    test = cut(split.test)
    return min(cut(split.test + split.validation), test), test
