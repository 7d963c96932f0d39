"""Who is served worse, and which items are shown less: between groups of users and between groups of items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tfrec.metrics.facts import ItemGroups
from tfrec.metrics.lists import RankedLists

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class UserGroups:
    """A metric in groups of users.

    Attributes:
        names: of the groups.
        counts: users with a value. int64 [groups]
        means: of the metric; NaN without users. float64 [groups]

    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    means: Floats

    @property
    def gap(self) -> float:
        """Highest mean − lowest mean; NaN without users."""
        known = self.means[self.counts > 0]
        return float(known.max() - known.min()) if len(known) else float("nan")

    @property
    def ratio(self) -> float:
        """Lowest mean / highest mean: 1 where all groups fare alike; NaN if the highest is not positive."""
        known = self.means[self.counts > 0]
        return float(known.min() / known.max()) if len(known) and known.max() > 0 else float("nan")

    @property
    def lowest(self) -> str | None:
        """Name of the group with the lowest mean (the worst off, where more is better), the first of equals."""
        return self.names[int(np.nanargmin(self.means))] if self.counts.any() else None

    @property
    def highest(self) -> str | None:
        """Name of the group with the highest mean, the first of equals."""
        return self.names[int(np.nanargmax(self.means))] if self.counts.any() else None


def compare_user_groups(values: Floats, groups: NDArray[np.integer], names: Sequence[str]) -> UserGroups:
    """Mean of a per-user metric in each group of users; users whose value is NaN are left out.

    Args:
        values: of the metric. [users]
        groups: position in `names` of each user's group. [users]
        names: of the groups.

    """
    is_known = ~np.isnan(values)
    counts = np.bincount(groups[is_known], minlength=len(names))
    sums = np.bincount(groups[is_known], weights=values[is_known], minlength=len(names))
    return UserGroups(tuple(names), counts, np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))


@dataclass(frozen=True)
class ItemGroupExposure:
    """How the attention of users falls on groups of items, against what the groups are worth.

    Attributes:
        names: of the groups.
        exposure_share: share of the position-discounted exposure. float64 [groups]
        catalogue_share: share of the catalogue's items. float64 [groups]
        relevant_share: share of the items that users should find. float64 [groups]

    """

    names: tuple[str, ...]
    exposure_share: Floats
    catalogue_share: Floats
    relevant_share: Floats

    @property
    def exposure_per_relevance(self) -> Floats:
        """exposure_share / relevant_share: 1 where exposure follows merit; two groups' quotient is the disparate
        treatment ratio (Singh & Joachims 2018, §4.2). NaN for a group in which nothing is relevant. [groups]
        """
        return _divided(self.exposure_share, self.relevant_share)

    @property
    def exposure_per_item(self) -> Floats:
        """exposure_share / catalogue_share: 1 under demographic parity (Singh & Joachims 2018, §4.1). [groups]"""
        return _divided(self.exposure_share, self.catalogue_share)

    @property
    def unfairness(self) -> float:
        """Σ |exposure_share − relevant_share|, from 0 to 2 (Biega et al. 2018, eq. 7, for groups instead of items)."""
        return float(np.abs(self.exposure_share - self.relevant_share).sum())


def place_counts(lists: RankedLists, groups: ItemGroups, places: int) -> NDArray[np.int64]:
    """Lists that show an item of each group in each place; parts add up exactly. int64 [groups, places]"""
    shown = lists.items[:, :places]
    group = np.concatenate([groups.of_item, [len(groups.names)]])[shown]  # NO_ITEM = −1 takes the last
    keys = group * places + np.arange(shown.shape[1])
    return np.bincount(keys.ravel(), minlength=(len(groups.names) + 1) * places).reshape(-1, places)[:-1]


def relevant_counts(lists: RankedLists, groups: ItemGroups) -> NDArray[np.int64]:
    """Relevant (user, item) pairs of each group of items. Parts add up exactly. int64 [groups]"""
    return np.bincount(groups.of_item[lists.relevant_items], minlength=len(groups.names))


def item_group_exposure(
    places: NDArray[np.int64], relevant: NDArray[np.int64], groups: ItemGroups, k: int
) -> ItemGroupExposure:
    """Exposure up to place k, where place r (from 1) has the weight 1 / log₂(1 + r) (Singh & Joachims 2018, §3).

    Args:
        places: from `place_counts`.
        relevant: from `relevant_counts`.
        groups: the same as there.
        k: cut, at most the places that were counted.

    """
    if not 1 <= k <= places.shape[1]:
        raise ValueError(f"k is {k}; places were counted up to {places.shape[1]}")
    exposure = places[:, :k] @ (1 / np.log2(np.arange(1, k + 1) + 1))
    items = np.bincount(groups.of_item, minlength=len(groups.names))
    return ItemGroupExposure(groups.names, _share(exposure), _share(items), _share(relevant))


def popularity_groups(
    training_users: NDArray[np.integer], head_share: float = 0.2, tail_share: float = 0.2
) -> ItemGroups:
    """Head, middle and tail of the catalogue (Abdollahpouri et al. 2019).

    Head: the most popular items that together have at most the first `head_share` of all counts, at least one item;
    tail: the least popular that together have at most the last `tail_share`. Equal counts by the lower index first.

    Args:
        training_users: of each item. int [items]
        head_share: from 0 to 1.
        tail_share: from 0 to 1; together with `head_share` at most 1.

    """
    if not (head_share >= 0 and tail_share >= 0 and head_share + tail_share <= 1):
        raise ValueError(f"head_share {head_share} and tail_share {tail_share}: not below 0, together at most 1")
    order = np.argsort(-training_users, kind="stable")
    before = np.cumsum(training_users[order])
    total = before[-1] if len(before) else 0
    in_order = np.ones(len(order), np.int64)
    in_order[before - training_users[order] >= (1 - tail_share) * total] = 2
    in_order[(before <= head_share * total) & (training_users[order] > 0)] = 0
    in_order[:1] = 0
    of_item = np.empty(len(order), np.int64)
    of_item[order] = in_order
    return ItemGroups(("head", "mid", "tail"), of_item)


def _share(values: NDArray) -> Floats:
    total = values.sum()
    return values / total if total else np.full(len(values), np.nan)


def _divided(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
