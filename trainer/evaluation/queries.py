"""Evaluation queries of retrieval: for each user of a split, what the model may read and what it should find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tfrec.dataset.interactions import Interactions
from tfrec.dataset.records import Arrays
from tfrec.schema import EVENT_POSITION, ITEM_INDEX, USER_INDEX
from trainer.data import JobData

# What the user tower reads: the history up to the user's first event of the split, or training events alone.
HistoryProtocol = Literal["at_event", "training"]


@dataclass(frozen=True)
class RetrievalQueries:
    """One query per user.

    Attributes:
        features: encoded features, [users] or [users, width].
        users: user indices. int64 [users]
        seen: what is excluded from each user's list.
        relevant_rows, relevant_items: pairs of (position in `users`, item index) to be found.

    """

    features: Arrays
    users: np.ndarray
    seen: Interactions
    relevant_rows: np.ndarray
    relevant_items: np.ndarray

    @property
    def relevant_counts(self) -> np.ndarray:
        return np.bincount(self.relevant_rows, minlength=len(self.users))


def retrieval_queries(data: JobData, split: str, history: HistoryProtocol) -> RetrievalQueries:
    """Queries of "validation" or "test".

    Seen items are those of all earlier splits; they are excluded from the lists and are not asked for again, and a
    user with nothing else to find is left out.
    """
    seen = data.interactions("train") if split == "validation" else data.interactions("train", "validation")
    records = data.split(split)
    order = np.lexsort((records[EVENT_POSITION], records[USER_INDEX]))
    users = records[USER_INDEX][order]
    items = records[ITEM_INDEX][order]
    is_new = ~_is_in(users * seen.num_items + items, _pair_keys(seen))
    asked = np.unique(users[is_new])
    first = np.searchsorted(users, asked)  # the user's first event of the split
    # One record per user: `records` are rows of events, in any order.
    features = {name: values[order[first]] for name, values in records.items()}
    name = data.schema.history
    if history == "training" and name is not None:
        features[name] = _training_history(data, asked, features[name].shape[1])
    pairs = np.unique(users[is_new] * seen.num_items + items[is_new])
    rows = np.searchsorted(asked, pairs // seen.num_items)
    return RetrievalQueries(features, asked, seen, rows, pairs % seen.num_items)


def _training_history(data: JobData, users: np.ndarray, length: int) -> np.ndarray:
    items = data.model_inputs.train.last(users, length)
    encoded = data.catalogue.features[data.schema.item_id]
    return np.where(items >= 0, encoded[np.maximum(items, 0)], 0)


def _pair_keys(interactions: Interactions) -> np.ndarray:
    users = np.repeat(np.arange(interactions.num_users), np.diff(interactions.row_splits))
    return np.sort(users * interactions.num_items + interactions.items)


def _is_in(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    if len(ordered) == 0:
        return np.zeros(len(values), dtype=bool)
    return ordered[np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)] == values
