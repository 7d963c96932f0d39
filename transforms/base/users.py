"""Users that the base dataset knows, where the workers find them: by group of users, and all together."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.schema import EVENT_COUNT
from transforms import layout, storage
from transforms.partitions import partition_of
from transforms.steps.tokens import for_tokens

_KEY = 0  # the first column is the raw user id


def save_base_users(output: str, users: pa.Table, partitions: int) -> None:
    """Write the users for `read_base_users` and `all_base_users`.

    Args:
        output: directory of the run.
        users: raw user id first, then `event_count`, `event_time_ms` and the sequences, encoded.
        partitions: groups of users in this run.

    """
    storage.write_table(layout.base_users(output), users)
    group = partition_of(users.column(_KEY).combine_chunks(), partitions)
    for partition in range(partitions):
        storage.write_table(layout.base_users(output, partition), users.filter(pa.array(group == partition)))


def read_base_users(output: str, partition: int) -> pa.Table:
    return storage.read_table(layout.base_users(output, partition))


def all_base_users(output: str) -> pa.Table:
    return storage.read_table(layout.base_users(output))


def base_event_counts(output: str, partition: int, users: pa.ChunkedArray) -> np.ndarray:
    """int64 [rows]: events that each row's user has in the base dataset."""
    known = read_base_users(output, partition)

    def counts(tokens: pa.Array) -> np.ndarray:
        rows = pc.index_in(tokens, value_set=known.column(_KEY).combine_chunks())
        return pc.fill_null(known.column(EVENT_COUNT).combine_chunks().take(rows), 0).to_numpy()

    return for_tokens(users, counts)
