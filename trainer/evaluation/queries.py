"""Evaluation queries of retrieval: for each user of a split, what the model may read and what it should find."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from tfrec.dataset.interactions import Interactions
from tfrec.dataset.records import Arrays
from tfrec.schema import EVENT_POSITION, EVENT_TIME_MS, GAP_SECONDS, ITEM_INDEX, LABEL, USER_INDEX, Users
from trainer.data import JobData

# What the user tower reads: the history up to the user's first event of the split, or training events alone.
HistoryProtocol = Literal["at_event", "training"]
EVENT = (USER_INDEX, ITEM_INDEX, EVENT_POSITION)


@dataclass(frozen=True)
class RetrievalQueries:
    """One query per user.

    Attributes:
        features: encoded features, [users] or [users, width].
        users: user indices, ascending. int64 [users]
        seen: what is excluded from each user's list.
        relevant_rows, relevant_items: distinct pairs of (position in `users`, item index) to be found.

    """

    features: Arrays
    users: np.ndarray
    seen: Interactions
    relevant_rows: np.ndarray
    relevant_items: np.ndarray

    @cached_property
    def relevant_counts(self) -> np.ndarray:
        return np.bincount(self.relevant_rows, minlength=len(self.users))

    @cached_property
    def relevant_splits(self) -> np.ndarray:
        """User r should find `ordered_items[relevant_splits[r]:relevant_splits[r + 1]]`. int64 [users + 1]"""
        return np.concatenate([[0], np.cumsum(self.relevant_counts)]).astype(np.int64)

    @cached_property
    def ordered_items(self) -> np.ndarray:
        """Relevant items by user, ascending for each. int64 [pairs]"""
        return self.relevant_items[np.lexsort((self.relevant_items, self.relevant_rows))].astype(np.int64)

    def relevant_to(self, start: int, stop: int) -> np.ndarray:
        """The relevant items of some users, one after another."""
        return self.ordered_items[self.relevant_splits[start] : self.relevant_splits[stop]]

    def of(self, rows: np.ndarray) -> RetrievalQueries:
        """Some of the users, by ascending position or mask."""
        chosen = np.arange(len(self.users))[rows]
        place = np.full(len(self.users), -1)
        place[chosen] = np.arange(len(chosen))
        kept = place[self.relevant_rows] >= 0
        return replace(
            self,
            features={name: values[chosen] for name, values in self.features.items()},
            users=self.users[chosen],
            relevant_rows=place[self.relevant_rows[kept]],
            relevant_items=self.relevant_items[kept],
        )


def retrieval_queries(
    data: JobData, split: str, history: HistoryProtocol, *, fold_in: float = 0.8, excludes_seen: bool = True
) -> RetrievalQueries:
    """Queries of "validation" or "test".

    Seen items are those of all earlier splits; they are excluded from the lists and are not asked for again, and a
    user with nothing else to find is left out. Where the dataset was split by users, nobody has an earlier split: the
    first share `fold_in` of a user's events counts as seen, and stands in the history that the model reads.

    Args:
        data: of the job.
        split: whose events are asked for.
        history: what the user tower reads.
        fold_in: share of a held-out user's events.
        excludes_seen: False: nothing is taken out of the lists, and items that were seen are asked for too.

    """
    seen, records = [training_events(data)], data.split(split)
    if split == "test":
        seen.append(data.validation)
    if isinstance(data.schema.split, Users):
        is_read = _first_share(records, fold_in)
        seen.append({name: records[name][is_read] for name in EVENT})
        records = {name: values[~is_read] for name, values in records.items()}
    queries = _queries(data, records, seen, excludes_seen=excludes_seen)
    return reading_training(data, queries) if history == "training" else queries


def reading_training(data: JobData, queries: RetrievalQueries) -> RetrievalQueries:
    """The same queries, with a history of training events alone, and so with what stands beside it."""
    schema = data.schema
    if schema.history is None:
        return queries
    histories = {}
    for name in schema.side_by_side(schema.history):
        of_events = _of_training_events(data, schema.sequence_source(name))
        if of_events is not None:
            histories[name] = _training_history(data, queries.users, queries.features[name], of_events)
    return replace(queries, features={**queries.features, **histories})


def window_queries(data: JobData, edges_ms: tuple[int, int], *, excludes_seen: bool = True) -> RetrievalQueries:
    """Queries of the test events of [from, until): all that lies before `from` is seen, test events too."""
    records, (start, end) = data.test, edges_ms
    times = records[EVENT_TIME_MS]
    seen = [training_events(data), data.validation, {name: records[name][times < start] for name in EVENT}]
    inside = (start <= times) & (times < end)
    asked = {name: values[inside] for name, values in records.items()}
    return _queries(data, asked, seen, excludes_seen=excludes_seen)


def training_events(data: JobData) -> Arrays:
    """The columns `EVENT` of training, from what models are built from anyway; positions count training events."""
    train = data.model_inputs.train
    counts = np.diff(train.row_splits)
    positions = np.arange(train.num_events) - np.repeat(train.row_splits[:-1], counts)
    return dict(zip(EVENT, (np.repeat(np.arange(train.num_users), counts), train.items, positions), strict=True))


def _queries(data: JobData, records: Arrays, seen_events: list[Arrays], *, excludes_seen: bool) -> RetrievalQueries:
    """One query per user of the records that has a new item in them; its features are those of the first record."""
    num_users, num_items = data.dataset.rows("users"), data.catalogue.size
    together = {name: np.concatenate([part[name] for part in seen_events]) for name in EVENT}
    if not excludes_seen:
        together = {name: values[:0] for name, values in together.items()}
    seen = Interactions.from_records(together, num_users, num_items)
    order = np.lexsort((records[EVENT_POSITION], records[USER_INDEX]))
    users, items = records[USER_INDEX][order], records[ITEM_INDEX][order]
    keys = users * num_items + items
    is_new = ~np.isin(keys, together[USER_INDEX] * num_items + together[ITEM_INDEX])
    asked = np.unique(users[is_new])
    first = np.searchsorted(users, asked)  # the user's first event of the split
    # One record per user: `records` are rows of events, in any order.
    features = {name: values[order[first]] for name, values in records.items()}
    pairs = np.unique(keys[is_new])
    return RetrievalQueries(features, asked, seen, np.searchsorted(asked, pairs // num_items), pairs % num_items)


def _first_share(records: Arrays, share: float) -> np.ndarray:
    """Which events are among the first ⌊share · n⌋ of their user's n. bool [rows]"""
    order = np.lexsort((records[EVENT_POSITION], records[USER_INDEX]))
    users = records[USER_INDEX][order]
    _, first, inverse, counts = np.unique(users, return_index=True, return_inverse=True, return_counts=True)
    result = np.zeros(len(users), bool)
    # The small number keeps ⌊0.8 · 5⌋ at 4 whatever the last bit of the product.
    result[order] = np.arange(len(users)) - first[inverse] < np.floor(share * counts + 1e-9)[inverse]
    return result


def _of_training_events(data: JobData, source: str) -> np.ndarray | None:
    """What a sequence holds of each training event, in the order of `train.items`; None where no record has it."""
    train = data.model_inputs.train
    if source == data.schema.item_id:
        return data.catalogue.features[source][train.items]
    if source == LABEL:  # the sequence has it before any threshold
        return None
    if source == GAP_SECONDS:
        assert train.times_ms is not None
        gaps = np.diff(train.times_ms, prepend=train.times_ms[:1]) / 1000
        gaps[train.row_splits[:-1][np.diff(train.row_splits) > 0]] = 0
        return gaps.astype(np.float32)
    records = data.columns("train", (USER_INDEX, EVENT_POSITION, source))
    return records[source][np.lexsort((records[EVENT_POSITION], records[USER_INDEX]))]


def _training_history(data: JobData, users: np.ndarray, given: np.ndarray, of_events: np.ndarray) -> np.ndarray:
    """Of each user's last training events, oldest first, padded at the end with 0; of the shape of `given`."""
    splits = data.model_inputs.train.row_splits
    counts = np.minimum(np.diff(splits)[users], given.shape[1])
    columns = np.arange(given.shape[1])
    places = (splits[users + 1] - counts)[:, None] + columns
    is_there = columns < counts[:, None]
    return np.where(is_there, of_events[np.where(is_there, places, 0)], 0).astype(given.dtype)
