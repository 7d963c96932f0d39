"""What is known about items and users from training, beside which a list is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tfrec.dataset.interactions import Interactions


@dataclass(frozen=True)
class ItemGroups:
    """Items in groups, such as genres of their own or head, middle and tail of popularity.

    Attributes:
        names: of the groups.
        of_item: position in `names` of each item's group. int64 [items]

    """

    names: tuple[str, ...]
    of_item: np.ndarray

    def __post_init__(self) -> None:
        if len(self.of_item) and not (self.of_item.min() >= 0 and self.of_item.max() < len(self.names)):
            raise ValueError(f"an item is in group {self.of_item.max()}; there are {len(self.names)}, counted from 0")


@dataclass(frozen=True)
class ItemFacts:
    """The catalogue as training knew it.

    Attributes:
        training_users: users who took each item in training, each counted once. int64 [items]
        num_users: users who took anything in training.
        vectors: of the items, for their likeness; a row of zeros says that nothing is known. float [items, dim]
        groups: by the name of the grouping.

    """

    training_users: np.ndarray
    num_users: int
    vectors: np.ndarray | None = None
    groups: Mapping[str, ItemGroups] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.training_users) and int(self.training_users.max()) > self.num_users:
            raise ValueError(
                f"an item has {self.training_users.max()} training users of {self.num_users}; count each user once"
            )
        sizes = {f"groups[{name!r}]": len(groups.of_item) for name, groups in self.groups.items()}
        sizes |= {} if self.vectors is None else {"vectors": len(self.vectors)}
        for name, size in sizes.items():
            if size != self.num_items:
                raise ValueError(f"{name} is of {size} items, training_users of {self.num_items}")

    @classmethod
    def of(
        cls, train: Interactions, vectors: np.ndarray | None = None, groups: Mapping[str, ItemGroups] | None = None
    ) -> ItemFacts:
        """Count the users of each item; a user's repeated events count once."""
        users = np.repeat(np.arange(train.num_users), np.diff(train.row_splits))
        pairs = _distinct(users * train.num_items + train.items)
        counts = np.bincount(pairs % max(train.num_items, 1), minlength=train.num_items)
        return cls(counts, int((np.diff(train.row_splits) > 0).sum()), vectors, groups or {})

    @property
    def num_items(self) -> int:
        return len(self.training_users)

    @cached_property
    def popularity(self) -> np.ndarray:
        """Share of the training users who took each item. float64 [items]"""
        return self.training_users / max(self.num_users, 1)

    @cached_property
    def popularity_ranks(self) -> np.ndarray:
        """Places in the list of the most popular, from 0; equal counts by the lower index. int64 [items]"""
        ranks = np.empty(self.num_items, np.int64)
        ranks[np.argsort(-self.training_users, kind="stable")] = np.arange(self.num_items)
        return ranks


@dataclass(frozen=True)
class Profiles:
    """How popular the items are that each user already has: built once, used for every model's lists.

    Attributes:
        popularity: mean over the user's distinct items; NaN without any. float64 [users]
        keys: user · num_items + popularity rank of each of the user's distinct items, ascending. int64 [pairs]
        num_items: size of the catalogue.

    """

    popularity: np.ndarray
    keys: np.ndarray
    num_items: int

    @classmethod
    def of(cls, seen: Interactions, facts: ItemFacts) -> Profiles:
        """Profiles of all users; `seen` is also what their lists leave out."""
        if seen.num_items != facts.num_items:
            raise ValueError(f"seen is of {seen.num_items} items, the facts of {facts.num_items}")
        users = np.repeat(np.arange(seen.num_users), np.diff(seen.row_splits))
        keys = _distinct(users * seen.num_items + facts.popularity_ranks[seen.items])
        owners, ranks = np.divmod(keys, max(seen.num_items, 1))
        by_rank = -np.sort(-facts.popularity)
        counts = np.bincount(owners, minlength=seen.num_users)
        sums = np.bincount(owners, weights=by_rank[ranks], minlength=seen.num_users)
        return cls(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan), keys, seen.num_items)

    def more_popular(self, users: np.ndarray, ranks: np.ndarray) -> np.ndarray:
        """Items of each user that stand before the given rank of popularity. int64, as `users` and `ranks`"""
        first = users * self.num_items
        return np.searchsorted(self.keys, first + ranks) - np.searchsorted(self.keys, first)


def multi_hot(ids: np.ndarray, depth: int, num_oov: int = 0) -> np.ndarray:
    """Vectors of items from a multi-valued feature such as genres: 1 for each value, id 0 (padding) left out.

    Args:
        ids: encoded values. int [items, width] or [items]
        depth: ids are below it.
        num_oov: ids from 1 to this one stand for unknown values and are left out too.

    Returns:
        float32 [items, depth − 1 − num_oov].

    """
    ids = np.asarray(ids).reshape(len(ids), -1)
    result = np.zeros((len(ids), depth), np.float32)
    result[np.arange(len(ids))[:, None], ids] = 1
    return result[:, 1 + num_oov :]


def _distinct(values: np.ndarray) -> np.ndarray:
    """Ascending, each once.

    `np.unique` hashes, which takes fifty times as long on keys that are mostly distinct; the stable sort makes use of
    users' standing in order already.
    """
    ordered = np.sort(values, kind="stable")
    is_new = np.ones(len(ordered), bool)
    is_new[1:] = ordered[1:] != ordered[:-1]
    return ordered[is_new]
