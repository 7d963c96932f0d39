"""The last known values of each item (or user) whose features stand in the events themselves."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from tfrec.schema import EVENT_TIME_MS
from transforms.read.typed import SOURCE
from transforms.steps.tokens import codes_of

IS_TRAIN = "__is_train__"


def latest_per_key(tables: Iterable[pa.Table], key: str) -> pa.Table:
    """One row per key: that of its last training event, or of its last event where training has none.

    Args:
        tables: rows with `key`, `__is_train__`, `event_time_ms`, `__source__` and the features.
        key: the column to group by.

    """
    rows = pa.concat_tables(list(tables)).combine_chunks()
    codes = codes_of(rows.column(key))
    order = np.lexsort([rows.column(name).to_numpy() for name in (SOURCE, EVENT_TIME_MS, IS_TRAIN)] + [codes])
    ordered = codes[order]
    is_last = np.append(np.diff(ordered) != 0, True) if len(ordered) else np.zeros(0, bool)
    return rows.take(pa.array(order[is_last]))
