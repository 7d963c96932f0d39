"""The last known values of each item (or user) whose features stand in the events themselves."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.schema import EVENT_TIME_MS
from transforms.read.typed import SOURCE

IS_TRAIN = "__is_train__"


def latest_per_key(tables: Iterable[pa.Table], key: str) -> pa.Table:
    """One row per key: that of its last training event, or of its last event where training has none.

    Args:
        tables: rows with `key`, `__is_train__`, `event_time_ms`, `__source__` and the features.
        key: the column to group by.

    """
    rows = pa.concat_tables(list(tables)).combine_chunks()
    order = pc.sort_indices(
        rows,
        sort_keys=[
            (key, "ascending"),
            (IS_TRAIN, "ascending"),
            (EVENT_TIME_MS, "ascending"),
            (SOURCE, "ascending"),
        ],
    )
    rows = rows.take(order).combine_chunks()
    codes = rows.column(key).combine_chunks().dictionary_encode().indices.to_numpy()
    is_last = np.append(np.diff(codes) != 0, True) if len(codes) else np.zeros(0, bool)
    return rows.filter(pa.array(is_last))
