"""Events of some users → in order of user, time and place in the log, each with its position in the user's life."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.schema import EVENT_POSITION, EVENT_TIME_MS
from transforms.read.typed import SOURCE

USER_START = "__user_start__"  # int64: row at which this row's user begins


def order_events(events: pa.Table, user_id: str) -> pa.Table:
    """Sort a partition and number each user's events from 0.

    Ties in time are broken by `__source__`, the place in the log; so the order does not depend on how the rows
    arrived. The result has two more columns, `event_position` and `__user_start__`.
    """
    users = events.column(user_id).combine_chunks()
    dictionary = users.dictionary_encode()
    dictionary = dictionary.combine_chunks() if isinstance(dictionary, pa.ChunkedArray) else dictionary
    rank = np.empty(len(dictionary.dictionary), dtype=np.int64)
    rank[pc.sort_indices(dictionary.dictionary).to_numpy()] = np.arange(len(rank))
    user = rank[dictionary.indices.to_numpy()]
    time, source = events.column(EVENT_TIME_MS).to_numpy(), events.column(SOURCE).to_numpy()
    order = np.lexsort((source, time, user))
    ordered = events.take(pa.array(order)).combine_chunks()
    user = user[order]
    begins = np.flatnonzero(np.diff(user, prepend=-1))
    counts = np.diff(np.append(begins, len(user)))
    start = np.repeat(begins, counts)
    position = np.arange(len(user)) - start
    return ordered.append_column(EVENT_POSITION, pa.array(position)).append_column(USER_START, pa.array(start))
