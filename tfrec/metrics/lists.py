"""What a ranking is judged by: the first items of each user's list, and the items that should be there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

NO_ITEM = -1  # in a place past the end of a list
_DENSE = 1 << 25  # users × items: up to here a table of all pairs, 32 MB, is faster than a search


@dataclass(frozen=True)
class RankedLists:
    """One list per user, best first, after exclusions. Every metric of a ranking can be computed from it.

    Attributes:
        users: user indices. int64 [users]
        items: item indices, `NO_ITEM` past the end of a list. int64 [users, listed]
        scores: of these items, −inf past the end. float32 [users, listed]
        relevant_splits: user r should find `relevant_items[relevant_splits[r] : relevant_splits[r + 1]]`.
            int64 [users + 1]
        relevant_items: distinct item indices of each user, ascending. int64 [pairs]

    """

    users: np.ndarray
    items: np.ndarray
    scores: np.ndarray
    relevant_splits: np.ndarray
    relevant_items: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def relevant_counts(self) -> np.ndarray:
        """Items that each user should find. int64 [users]"""
        return np.diff(self.relevant_splits)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Items that each list holds. int64 [users]"""
        return (self.items != NO_ITEM).sum(axis=1)

    @cached_property
    def hits(self) -> np.ndarray:
        """Whether each listed item is relevant. bool [users, listed]"""
        if not len(self.relevant_items) or not self.items.size:
            return np.zeros(self.items.shape, bool)
        size = max(int(self.items.max()), int(self.relevant_items.max())) + 1
        rows = np.repeat(np.arange(len(self)), self.relevant_counts)
        wanted = rows * size + self.relevant_items  # ascending: by row, then by item
        keys = np.arange(len(self))[:, None] * size + self.items
        if len(self) * size <= _DENSE:
            is_wanted = np.zeros(len(self) * size, bool)
            is_wanted[wanted] = True
            return is_wanted[np.maximum(keys, 0)] & (self.items != NO_ITEM)
        place = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
        return (wanted[place] == keys) & (self.items != NO_ITEM)

    def of(self, rows: np.ndarray) -> RankedLists:
        """Some of the users, by position or mask."""
        chosen = np.arange(len(self))[rows]
        counts = self.relevant_counts[chosen]
        splits = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        at = np.arange(splits[-1]) - np.repeat(splits[:-1] - self.relevant_splits[chosen], counts)
        return RankedLists(self.users[chosen], self.items[chosen], self.scores[chosen], splits, self.relevant_items[at])
