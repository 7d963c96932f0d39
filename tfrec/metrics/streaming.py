"""All metrics of lists that come in parts: in batches of any size, in any order, from any number of workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tfrec.metrics.beyond_accuracy import BeyondAccuracy
from tfrec.metrics.exposure import coverage, exposure_counts, gini
from tfrec.metrics.facts import ItemFacts, Profiles
from tfrec.metrics.fairness import ItemGroupExposure, item_group_exposure, place_counts, relevant_counts
from tfrec.metrics.lists import RankedLists
from tfrec.metrics.ranking import Floats, ranking_metrics


class RankingAccumulator:
    """Sums up ranked lists; what it says does not depend on how the users were cut into parts.

    A user's values depend on that user alone, exposure is counted in integers, and means are taken over users in
    ascending order: the same bits for any order of any parts. With `keep_users=False` memory does not grow with the
    users, and means agree to rounding.

    Args:
        ks: cuts.
        facts: of the catalogue; without them there is accuracy alone.
        profiles: of the users; without them no serendipity and no popularity lift.
        keep_users: keep each user's values, which intervals and comparisons are computed from.

    """

    def __init__(
        self,
        ks: Sequence[int],
        facts: ItemFacts | None = None,
        profiles: Profiles | None = None,
        *,
        keep_users: bool = True,
    ) -> None:
        self.ks, self.facts, self.keep_users = tuple(ks), facts, keep_users
        self.num_users = 0
        self._profiles = profiles
        self._beyond = BeyondAccuracy(facts, ks, profiles) if facts is not None else None
        self._users: list[NDArray[np.int64]] = []
        self._values: list[dict[str, Floats]] = []
        self._parts: dict[str, tuple[float, float]] = {}
        items = 0 if facts is None else facts.num_items
        groups = {} if facts is None else facts.groups
        self._exposure = np.zeros((len(self.ks), items), np.int64)
        self._places = {name: np.zeros((len(of.names), max(ks)), np.int64) for name, of in groups.items()}
        self._relevant = {name: np.zeros(len(of.names), np.int64) for name, of in groups.items()}

    def add(self, lists: RankedLists, values: Mapping[str, Floats] | None = None) -> None:
        """Take in users whom it does not have yet.

        Args:
            lists: of these users. One without relevant items has no accuracy (NaN, left out of the means).
            values: more metrics of the same users, such as `{"auc": full_ranking_auc(…)}`. float64 [users] each

        """
        found = _accuracy(lists, self.ks) | dict(values or {})
        if self._beyond is not None:
            found |= self._beyond(lists)
        if self._profiles is not None:
            found["profile_popularity"] = self._profiles.popularity[lists.users]
        if self.facts is not None:
            self._exposure += exposure_counts(lists, self.ks, self.facts.num_items)
            for name, groups in self.facts.groups.items():
                self._places[name] += place_counts(lists, groups, max(self.ks))
                self._relevant[name] += relevant_counts(lists, groups)
        self.num_users += len(lists)
        if self.keep_users:
            self._users.append(lists.users)
            self._values.append(found)
        else:
            self._parts = _added(self._parts, _sums(found, self.ks))

    def merge(self, other: RankingAccumulator) -> None:
        """Take in what another one, over other users, has summed up.

        Raises:
            ValueError: it has other cuts, another catalogue or keeps other things.

        """
        same = (self.ks, self.keep_users, self._exposure.shape, sorted(self._places), self._profiles is None)
        if same != (other.ks, other.keep_users, other._exposure.shape, sorted(other._places), other._profiles is None):
            raise ValueError("the two accumulators differ in ks, catalogue, groups, profiles or keep_users")
        self.num_users += other.num_users
        self._users += other._users
        self._values += other._values
        self._parts = _added(self._parts, other._parts)
        self._exposure += other._exposure
        for name in self._places:
            self._places[name] += other._places[name]
            self._relevant[name] += other._relevant[name]

    def users(self) -> NDArray[np.int64]:
        """Users in ascending order: the rows of `per_user`."""
        return np.sort(np.concatenate(self._users)) if self._users else np.zeros(0, np.int64)

    def per_user(self) -> dict[str, Floats]:
        """Metric name → float64 [users], by ascending user; NaN where a metric is not defined for a user.

        Raises:
            ValueError: users are not kept, a user was added twice, or parts have different metrics.

        """
        if not self.keep_users:
            raise ValueError("users were not kept: RankingAccumulator(keep_users=True)")
        users = np.concatenate(self._users) if self._users else np.zeros(0, np.int64)
        order = np.argsort(users, kind="stable")
        if (np.diff(users[order]) == 0).any():
            raise ValueError(f"user {users[order][:-1][np.diff(users[order]) == 0][0]} was added twice")
        if any(set(values) != set(self._values[0]) for values in self._values):
            raise ValueError("some users were added with more metrics than others")
        names = self._values[0] if self._values else ()
        return {name: np.concatenate([values[name] for values in self._values])[order] for name in names}

    def metrics(self) -> dict[str, float]:
        """Means over users, popularity lift, coverage and Gini at each k. NaN where nothing defines one."""
        parts = _sums(self.per_user(), self.ks) if self.keep_users else self._parts
        result = {name: above / below if below else float("nan") for name, (above, below) in parts.items()}
        if self.facts is not None:
            for k, counts in zip(self.ks, self._exposure, strict=True):
                result |= {f"coverage_at_{k}": coverage(counts), f"gini_at_{k}": gini(counts)}
        return result

    def exposure(self, k: int) -> NDArray[np.int64]:
        """Lists that hold each item in their first k. int64 [items]"""
        return self._exposure[self.ks.index(k)].copy()

    def item_group_exposure(self, grouping: str, k: int) -> ItemGroupExposure:
        """Exposure up to place k of the groups of `facts.groups[grouping]`."""
        assert self.facts is not None
        groups = self.facts.groups[grouping]
        return item_group_exposure(self._places[grouping], self._relevant[grouping], groups, k)


def _accuracy(lists: RankedLists, ks: Sequence[int]) -> dict[str, Floats]:
    wanted = lists.relevant_counts
    found = ranking_metrics(lists.hits, np.maximum(wanted, 1), ks)
    if (wanted > 0).all():
        return found
    return {name: np.where(wanted > 0, values, np.nan) for name, values in found.items()}


def _sums(values: Mapping[str, Floats], ks: Sequence[int]) -> dict[str, tuple[float, float]]:
    """Two sums over users whose quotient is the metric; those of parts of the users add up."""
    result = {
        name: (float(np.nansum(of_users)), float((~np.isnan(of_users)).sum())) for name, of_users in values.items()
    }
    if "profile_popularity" in values:
        profile = values["profile_popularity"]
        for k in ks:
            listed = values[f"popularity_at_{k}"]
            is_known = ~(np.isnan(profile) | np.isnan(listed))
            whole = float(profile[is_known].sum())
            result[f"popularity_lift_at_{k}"] = float(listed[is_known].sum()) - whole, whole
    return result


def _added(
    some: Mapping[str, tuple[float, float]], more: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    none = (0.0, 0.0)
    sums = {name: (some.get(name, none), more.get(name, none)) for name in {**some, **more}}
    return {name: (a[0] + b[0], a[1] + b[1]) for name, (a, b) in sums.items()}
