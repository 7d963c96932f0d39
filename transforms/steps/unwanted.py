"""Ordered events that the filters leave out: duplicates, and users who are bots."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.schema import EVENT_TIME_MS, Given, Schema
from transforms.filters import DAY_MS, Filters
from transforms.read.typed import SOURCE
from transforms.steps.tokens import codes_of


def duplicates(events: pa.Table, user_id: str, by: list[str], keep: str) -> np.ndarray:
    """Bool [rows]: events that repeat another one in all columns `by`.

    Args:
        events: ordered by user, time and place in the log.
        user_id: name of the user's column.
        by: columns that say what one event is.
        keep: "first" or "last" of equal events is not marked.

    """
    rows, group = np.arange(events.num_rows), np.zeros(events.num_rows, dtype=np.int64)
    if by[0] == user_id and EVENT_TIME_MS in by:  # such events stand side by side: a look at neighbours is enough
        rows, group = _same_user_and_time(events, user_id)
    # Each column splits the groups so far; rows that stand alone drop out, so most columns see few rows.
    for name in by:
        if len(rows) == 0:
            break
        codes = _codes(events.column(name).take(pa.array(rows)))
        group = group * (int(codes.max()) + 1) + codes
        _, group, counts = np.unique(group, return_inverse=True, return_counts=True)
        is_shared = counts[group] > 1
        rows, group = rows[is_shared], group[is_shared]
    repeated = np.zeros(events.num_rows, dtype=bool)
    repeated[rows] = True
    in_order = rows if keep == "first" else rows[::-1]
    _, kept = np.unique(group if keep == "first" else group[::-1], return_index=True)
    repeated[in_order[kept]] = False
    return repeated


def _same_user_and_time(events: pa.Table, user_id: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows that share user and time with a neighbour, and which group of neighbours each is in."""
    user, time = _codes(events.column(user_id)), events.column(EVENT_TIME_MS).to_numpy()
    is_new = np.concatenate([np.ones(min(len(user), 1), bool), (user[1:] != user[:-1]) | (time[1:] != time[:-1])])
    group = np.cumsum(is_new) - 1
    rows = np.flatnonzero(np.bincount(group)[group] > 1) if len(group) else np.zeros(0, np.int64)
    return rows, group[rows]


def duplicate_columns(events: pa.Table, schema: Schema, filters: Filters) -> list[str]:
    """The columns that must agree where two events are one delivered twice; none where all are kept."""
    pair = [schema.user_id, schema.item_id]
    is_kept = schema.timestamp is None or isinstance(schema.split, Given)  # a paper's rows are used as they are
    what = filters.duplicates or ("keep" if is_kept else "exact")
    if what == "keep":
        return []
    if what == "user_item":
        return pair
    if what == "user_item_time":
        return [*pair, EVENT_TIME_MS]
    others = [name for name in events.column_names if name not in (*pair, EVENT_TIME_MS, SOURCE)]
    return [*pair, EVENT_TIME_MS, *others]


def of_bots(events: pa.Table, user_id: str, max_events: int | None, max_events_per_day: int | None) -> np.ndarray:
    """Bool [rows]: events of users with more events than a person has, in all or on any day."""
    user = _codes(events.column(user_id))
    users = int(user.max(initial=-1)) + 1
    is_bot = np.zeros(users, dtype=bool)
    if max_events is not None:
        is_bot |= np.bincount(user, minlength=users) > max_events
    if max_events_per_day is not None:
        day = events.column(EVENT_TIME_MS).to_numpy() // DAY_MS
        _, first, counts = np.unique(np.stack([user, day]), axis=1, return_index=True, return_counts=True)
        is_bot[user[first[counts > max_events_per_day]]] = True
    return is_bot[user]


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """int64 [rows]: equal values have equal codes; a missing number equals another."""
    if pa.types.is_list(column.type):
        column = pa.chunked_array([_list_keys(column.combine_chunks())])
    if pa.types.is_dictionary(column.type):
        return codes_of(column).astype(np.int64)
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _list_keys(lists: pa.Array) -> pa.Array:
    """Equal values for equal lists, of tokens or of float32 numbers; an empty list equals a missing one."""
    if not pa.types.is_float32(lists.type.value_type):
        return pc.binary_join(lists.cast(pa.list_(pa.string())), "\x1f").fill_null("")
    flat = lists.flatten().to_numpy(zero_copy_only=False)
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]) * flat.itemsize
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(flat)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(lists), buffers)
