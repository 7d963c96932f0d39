"""One judge for all sides: a library's lists of raw ids → metrics of each user."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.quality.lists import NOTHING, RawLists
from benchmarks.quality.splits import QuerySet, Splits
from tfrec.errors import DataError
from tfrec.metrics import coverage, exposure_counts, ranking_metrics
from tfrec.metrics.lists import NO_ITEM, RankedLists

KS = (10, 100)
PerUser = dict[str, np.ndarray]


@dataclass(frozen=True)
class Truth:
    """What the users of a query set should find, from the split files alone.

    Attributes:
        users: with an unseen item in the asked split, ascending. int64 [users]
        relevant_splits, relevant_items: as of `RankedLists`.
        seen_keys: user · items + item of what must not be listed, ascending. int64 [pairs]

    """

    users: np.ndarray
    relevant_splits: np.ndarray
    relevant_items: np.ndarray
    seen_keys: np.ndarray

    @classmethod
    def of(cls, splits: Splits, asked: QuerySet) -> Truth:
        size = len(splits.items)
        seen_users, seen_items = splits.pairs(asked.seen)
        seen = np.unique(seen_users * size + seen_items)
        events = splits.events[asked.asked]
        wanted = np.setdiff1d(events.users * size + events.items, seen)
        users, counts = np.unique(wanted // size, return_counts=True)
        return cls(users, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), wanted % size, seen)


def ranked_lists(splits: Splits, truth: Truth, lists: RawLists, source: str) -> RankedLists:
    """The lists of the users who are asked; a user without a list has an empty one.

    Raises:
        DataError: an unknown or repeated id, a gap within a list, or an item that the user has seen.

    """
    is_item = lists.items != NOTHING
    items: np.ndarray = np.full(lists.items.shape, NO_ITEM, np.int64)
    items[is_item] = _indices(splits.items, lists.items[is_item], f"{source}: item")
    users = _indices(splits.users, lists.users, f"{source}: user")
    _check(users, items, truth, splits, source)
    found = np.full((len(truth.users), items.shape[1]), NO_ITEM, np.int64)
    place = np.searchsorted(truth.users, users)
    is_asked = (place < len(truth.users)) & (truth.users[np.minimum(place, len(truth.users) - 1)] == users)
    found[place[is_asked]] = items[is_asked]
    scores = np.where(found == NO_ITEM, -np.inf, -np.arange(items.shape[1], dtype=np.float32)[None, :])
    return RankedLists(truth.users, found, scores.astype(np.float32), truth.relevant_splits, truth.relevant_items)


def per_user(lists: RankedLists) -> PerUser:
    """Metrics of each user. float64 [users]"""
    return ranking_metrics(lists.hits, lists.relevant_counts, KS)


def catalogue_coverage(lists: RankedLists, num_items: int, k: int = 10) -> float:
    """Share of the catalogue that stands in somebody's first k places."""
    return coverage(exposure_counts(lists, (k,), num_items)[0])


def _indices(known: np.ndarray, wanted: np.ndarray, what: str) -> np.ndarray:
    order = np.argsort(known, kind="stable")
    place = np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)
    found = order[place]
    if len(unknown := np.flatnonzero(known[found] != wanted)):
        raise DataError(f"{what} {str(wanted[unknown[0]])!r}: not in the split files; list their ids alone")
    return found.astype(np.int64)


def _check(users: np.ndarray, items: np.ndarray, truth: Truth, splits: Splits, source: str) -> None:
    if len(np.unique(users)) < len(users):
        raise DataError(f"{source}: a user has two lists; write one for each user")
    is_item = items != NO_ITEM
    if (is_item[:, 1:] & ~is_item[:, :-1]).any():
        raise DataError(f"{source}: a list goes on after a gap; close the gaps")
    keys = (users[:, None] * len(splits.items) + items)[is_item]
    if len(np.unique(keys)) < len(keys):
        raise DataError(f"{source}: an item stands twice in a list; list each item once")
    if len(wrong := keys[np.isin(keys, truth.seen_keys)]):
        user, item = divmod(int(wrong[0]), len(splits.items))
        raise DataError(
            f"{source}: user {splits.users[user]} is recommended item {splits.items[item]}, which is to be left out "
            f"({len(wrong):,} such places); leave seen items out"
        )
