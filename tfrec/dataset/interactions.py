"""Who interacted with what in training: a sparse user × item matrix in the order of time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfrec.dataset.records import Arrays
from tfrec.schema import EVENT_POSITION, EVENT_TIME_MS, ITEM_INDEX, LABEL, USER_INDEX, WEIGHT


@dataclass(frozen=True)
class Interactions:
    """Events in compressed rows: user u's items, oldest first, are `items[row_splits[u]:row_splits[u + 1]]`.

    Attributes:
        row_splits: int64 [num_users + 1].
        items: int64 [events], item indices.
        num_items: size of the catalogue.
        labels: of the events, in the order of `items`; None without a label. float32 [events]
        times_ms: of the events, Unix time; None without a timestamp. int64 [events]
        weights: of the events; None without a weight. float32 [events]

    """

    row_splits: np.ndarray
    items: np.ndarray
    num_items: int
    labels: np.ndarray | None = None
    times_ms: np.ndarray | None = None
    weights: np.ndarray | None = None

    @classmethod
    def from_records(cls, records: Arrays, num_users: int, num_items: int) -> Interactions:
        """Group event records (of one or several splits) by user, in the order of `event_position`.

        Labels, times and weights are taken along where the records have them.
        """
        order = np.lexsort((records[EVENT_POSITION], records[USER_INDEX]))
        counts = np.bincount(records[USER_INDEX], minlength=num_users)
        row_splits = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        more = {
            field: records[name][order].astype(dtype)
            for field, name, dtype in (
                ("labels", LABEL, np.float32),
                ("times_ms", EVENT_TIME_MS, np.int64),
                ("weights", WEIGHT, np.float32),
            )
            if name in records
        }
        return cls(row_splits, records[ITEM_INDEX][order].astype(np.int64), num_items, **more)

    @property
    def users(self) -> np.ndarray:
        """int64 [events]: the user of each event."""
        return np.repeat(np.arange(self.num_users), np.diff(self.row_splits))

    @property
    def num_users(self) -> int:
        return len(self.row_splits) - 1

    @property
    def num_events(self) -> int:
        return len(self.items)

    def item_counts(self) -> np.ndarray:
        """int64 [num_items]: events of each item."""
        return np.bincount(self.items, minlength=self.num_items)

    def of_user(self, user: int) -> np.ndarray:
        """Item indices of one user, oldest first."""
        return self.items[self.row_splits[user] : self.row_splits[user + 1]]

    def last(self, users: np.ndarray, length: int) -> np.ndarray:
        """int64 [len(users), length]: each user's last `length` items, oldest first, padded at the end with -1."""
        counts = np.minimum(np.diff(self.row_splits)[users], length)
        columns = np.arange(length)
        at = (self.row_splits[users + 1] - counts)[:, None] + columns
        is_there = columns < counts[:, None]
        return np.where(is_there, self.items[np.where(is_there, at, 0)] if self.num_events else -1, -1)

    def pairs_of(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(row, item) of every interaction of the given users; `row` counts positions in `users`."""
        starts, counts = self.row_splits[users], np.diff(self.row_splits)[users]
        ends = np.cumsum(counts)
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
        return np.repeat(np.arange(len(users)), counts), self.items[np.repeat(starts, counts) + within]
