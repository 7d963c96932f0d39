"""The items among which a sampled ranking looks for the relevant ones: drawn, or given in a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tfrec.dataset.interactions import Interactions
from tfrec.metrics.lists import NO_ITEM
from trainer.evaluation.config import Negatives
from trainer.evaluation.draws import uniform
from trainer.evaluation.queries import RetrievalQueries


class Candidates(Protocol):
    """What is ranked for each query, instead of the catalogue."""

    def of(self, queries: RetrievalQueries, start: int, stop: int) -> np.ndarray:
        """Item indices of some queries, relevant ones included; `NO_ITEM` fills up.

        Among equal scores the earlier one comes first. int64 [stop - start, width]
        """


@dataclass(frozen=True)
class DrawnCandidates:
    """The relevant items of a query and `count` others that its user never took, without repetition.

    Uniform, or in proportion to training events: of the exponential clocks −log(u) / weight the first `count` to ring
    (Efraimidis and Spirakis 2006).

    Attributes:
        config: count, kind, seed and ties.
        taken: events of all splits, which nobody is offered.
        item_counts: training events of each item.

    """

    config: Negatives
    taken: Interactions
    item_counts: np.ndarray

    def of(self, queries: RetrievalQueries, start: int, stop: int) -> np.ndarray:
        users = queries.users[start:stop]
        clocks = uniform(self.config.seed, users, np.arange(len(self.item_counts)))
        if self.config.kind == "popularity":
            weights = np.where(self.item_counts > 0, self.item_counts, np.nan)
            clocks = np.nan_to_num(-np.log(clocks) / weights, nan=np.inf)
        clocks[self.taken.pairs_of(users)] = np.inf
        count = min(self.config.count, clocks.shape[1])
        drawn = np.argpartition(clocks, count - 1, axis=1)[:, :count]
        drawn = np.where(np.isfinite(np.take_along_axis(clocks, drawn, axis=1)), drawn, NO_ITEM)
        return with_relevant(queries, start, stop, drawn, self.config.ties)


@dataclass(frozen=True)
class GivenCandidates:
    """The relevant items of a query and those that a file names for its user.

    Attributes:
        items: item indices, `NO_ITEM` past the end, by user index. int64 [num_users, width]
        ties: as in `Negatives`.

    """

    items: np.ndarray
    ties: str

    def of(self, queries: RetrievalQueries, start: int, stop: int) -> np.ndarray:
        return with_relevant(queries, start, stop, self.items[queries.users[start:stop]], self.ties)


def with_relevant(queries: RetrievalQueries, start: int, stop: int, others: np.ndarray, ties: str) -> np.ndarray:
    """Relevant items and the others, each item once, in the order in which ties are broken."""
    counts = queries.relevant_counts[start:stop]
    relevant = np.full((stop - start, int(counts.max(initial=0))), NO_ITEM, np.int64)
    relevant[np.arange(relevant.shape[1]) < counts[:, None]] = queries.relevant_to(start, stop)
    size = queries.seen.num_items
    together = np.concatenate([relevant, others], axis=1)
    last = 2 * size  # sorts behind every item
    keys = np.where(together == NO_ITEM, last, together)
    if ties == "relevant_first":  # an item that stands in both is sorted twice, and its later place goes
        keys[:, relevant.shape[1] :] += np.where(keys[:, relevant.shape[1] :] < last, size, 0)
    keys = np.sort(keys, axis=1)
    items = np.where(keys < last, keys % size, NO_ITEM)
    if ties == "relevant_first":
        by_item = np.argsort(items, axis=1, kind="stable")
        ordered = np.take_along_axis(items, by_item, axis=1)
        again = np.zeros(items.shape, bool)
        np.put_along_axis(again, by_item[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    else:
        again = np.concatenate([np.zeros((len(items), 1), bool), items[:, 1:] == items[:, :-1]], axis=1)
    return np.where(again, NO_ITEM, items)
