"""Ranked lists → metrics, chunk by chunk of users: what is in memory does not grow with the users."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tfrec.certainty import BootstrapSums
from tfrec.metrics.facts import ItemFacts, Profiles
from tfrec.metrics.fairness import UserGroups
from tfrec.metrics.lists import RankedLists
from tfrec.metrics.ranking import ranking_metric_names, ranking_metrics
from tfrec.metrics.streaming import RankingAccumulator
from trainer.evaluation.facts import UserGrouping

FEWEST = 30  # users of a group whose mean is compared


class Judge:
    """All metrics of one query set."""

    def __init__(
        self,
        ks: Sequence[int],
        facts: ItemFacts,
        profiles: Profiles,
        groupings: Sequence[UserGrouping] = (),
        *,
        has_intervals: bool,
    ) -> None:
        """Begin.

        Args:
            ks: cuts.
            facts: of the catalogue.
            profiles: of what each user already has.
            groupings: of the users.
            has_intervals: whether `metrics` says how sure the means are.

        """
        self._ks, self._groupings = tuple(ks), groupings
        self._sums = RankingAccumulator(ks, facts, profiles, keep_users=False)
        self._bootstrap = BootstrapSums() if has_intervals else None
        self._compared_k = 10 if 10 in ks else min(ks)
        self._of_groups = {one.name: np.zeros((2, len(one.names))) for one in groupings}

    @property
    def users(self) -> int:
        return self._sums.num_users

    def add(self, lists: RankedLists, values: dict[str, np.ndarray] | None = None) -> None:
        """Look at the lists of further users, and take more values of theirs along."""
        if not len(lists):
            return
        self._sums.add(lists, values)
        accuracy = ranking_metrics(lists.hits, lists.relevant_counts, self._ks)
        if self._bootstrap is not None:
            self._bootstrap.add(np.stack(list(accuracy.values()), axis=1), users=lists.users)
        ndcg = accuracy[f"ndcg_at_{self._compared_k}"]
        for grouping in self._groupings:
            of_user = grouping.of_user[lists.users]
            for row, weights in enumerate((np.ones(len(lists)), ndcg)):
                self._of_groups[grouping.name][row] += np.bincount(of_user, weights, len(grouping.names))

    def metrics(self) -> dict[str, float]:
        """Flat metrics; what is not defined, such as any mean over no users, is left out."""
        if not self.users:
            return {}
        found = {**self._sums.metrics(), **self._fairness()}
        found.pop("profile_popularity", None)
        if self._bootstrap is not None:
            interval = self._bootstrap.interval()
            for at, name in enumerate(ranking_metric_names(self._ks)):
                found |= {f"{name}/low": float(interval.low[at]), f"{name}/high": float(interval.high[at])}
        return {name: float(value) for name, value in found.items() if math.isfinite(value)}

    def _fairness(self) -> dict[str, float]:
        """Between groups of users by NDCG, and between head, middle and tail of the catalogue by exposure."""
        found: dict[str, float] = {}
        for name, (counts, sums) in self._of_groups.items():
            users = np.where(counts >= FEWEST, counts, 0).astype(np.int64)
            if (users > 0).sum() > 1:
                groups = UserGroups((), users, np.where(users > 0, sums / np.maximum(users, 1), np.nan))
                found[f"ndcg_gap_by_{name}_at_{self._compared_k}"] = groups.gap
                found[f"ndcg_ratio_by_{name}_at_{self._compared_k}"] = groups.ratio
        k = self._compared_k
        exposure = self._sums.item_group_exposure("popularity", k)
        for group, share in zip(exposure.names, exposure.exposure_share.tolist(), strict=True):
            found[f"{group}_exposure_at_{k}"] = share
        found[f"exposure_unfairness_at_{k}"] = exposure.unfairness
        return found
