"""Events of some users → in order of user, time and place in the log, each with its position in the user's life."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.schema import EVENT_POSITION, EVENT_TIME_MS, SESSION_INDEX, SESSION_POSITION, Sessions
from transforms.read.typed import SOURCE
from transforms.steps.tokens import codes_of, for_tokens

USER_START = "__user_start__"  # int64: row at which this row's user begins


def order_events(tables: Sequence[pa.Table], user_id: str) -> pa.Table:
    """Sort the events of a partition by user, time, and `__source__`: their place in the log breaks ties.

    Args:
        tables: rows in any order; fastest where each table is a stretch of the log.
        user_id: name of the user's column.

    """
    in_order = sorted((table for table in tables if table.num_rows), key=lambda table: table.column(SOURCE)[0].as_py())
    events = pa.concat_tables(in_order or tables).combine_chunks()
    source = events.column(SOURCE).to_numpy()
    time = events.column(EVENT_TIME_MS).to_numpy()
    user = _rank(events.column(user_id))
    keys = [_joined(user, time)] if len(user) else []
    if (np.diff(source) < 0).any():
        keys.insert(0, source)
    order = np.lexsort(keys) if len(keys) > 1 else np.argsort(keys[0], kind="stable") if keys else np.zeros(0, int)
    return events.take(pa.array(order)).combine_chunks()


def number_events(events: pa.Table, user_id: str, sessions: Sessions | None = None) -> pa.Table:
    """Add `event_position` and `__user_start__` to ordered events; with sessions also their index and position."""
    events = events.drop_columns([name for name in _NUMBERS if name in events.column_names])
    rows = np.arange(events.num_rows)
    is_first = _changes(codes_of(events.column(user_id)))
    start = _last_true(is_first)
    events = events.append_column(EVENT_POSITION, pa.array(rows - start)).append_column(USER_START, pa.array(start))
    if sessions is None:
        return events
    time = events.column(EVENT_TIME_MS).to_numpy()
    opens = is_first | (np.diff(time, prepend=time[:1]) > sessions.gap_minutes * 60_000)
    number = np.cumsum(opens)
    index = number - number[start] if len(rows) else number
    events = events.append_column(SESSION_INDEX, pa.array(index))
    return events.append_column(SESSION_POSITION, pa.array(rows - _last_true(opens)))


_NUMBERS = (EVENT_POSITION, USER_START, SESSION_INDEX, SESSION_POSITION)


def _rank(column: pa.ChunkedArray) -> np.ndarray:
    """int64 [rows]: place of each string among the distinct ones."""

    def rank(tokens: pa.Array) -> np.ndarray:
        places = np.empty(len(tokens), dtype=np.int64)
        places[pc.sort_indices(tokens).to_numpy()] = np.arange(len(tokens))
        return places

    return for_tokens(column, rank)


def _joined(user: np.ndarray, time: np.ndarray) -> np.ndarray:
    """One int64 that sorts as (user, time); one sort is half the work of two."""
    first = int(time.min())
    span = int(time.max()) - first + 1
    if (int(user.max()) + 1) * span >= 1 << 63:
        distinct, time = np.unique(time, return_inverse=True)
        first, span = 0, len(distinct)
    return user * span + (time - first)


def _changes(codes: np.ndarray) -> np.ndarray:
    """Bool [rows]: whether a row's code differs from the one before."""
    return np.concatenate([np.ones(min(len(codes), 1), bool), codes[1:] != codes[:-1]])


def _last_true(mask: np.ndarray) -> np.ndarray:
    """int64 [rows]: the last row up to each at which `mask` is set (the first is)."""
    return np.maximum.accumulate(np.where(mask, np.arange(len(mask)), 0))
