"""What a list is like apart from its hits: novel, popular, diverse, serendipitous; one value per user."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tfrec.metrics.facts import ItemFacts, Profiles
from tfrec.metrics.lists import NO_ITEM, RankedLists

Floats = NDArray[np.float64]


class BeyondAccuracy:
    """Metrics of each user's list, cut at each k, of the m ≤ k items that are there.

    With p(i) the share of training users who took item i:

    - novelty_at_k = 1/m Σ −log₂ p(i), mean self-information in bits; an item that nobody took counts as taken by one
      (Zhou et al. 2010; Vargas & Castells 2011)
    - popularity_at_k = 1/m Σ p(i)
    - diversity_at_k = 1 − mean cosine of the pairs of different items, over the c items with a vector that is not 0
      (Ziegler et al. 2005; Smyth & McClave 2001). With unit vectors v the mean is (|Σ v|² − c) / (c (c − 1)).
    - serendipity_at_k = relevant items in the first k that are not among the k most popular items which the user does
      not have, divided by k: the unexpected and useful, popularity being the primitive model (Ge et al. 2010)

    NaN where nothing is defined: an empty list, fewer than two vectors. Diversity needs the facts' vectors, serendipity
    the users' profiles; without them they are not among `names`.

    Args:
        facts: of the catalogue.
        ks: cuts.
        profiles: what each user already has; indexed by `RankedLists.users`.

    """

    def __init__(self, facts: ItemFacts, ks: Sequence[int], profiles: Profiles | None = None) -> None:
        self._facts, self._profiles = facts, profiles
        self._cuts = np.unique(np.asarray(ks, np.int64))
        rarity = -np.log2(np.maximum(facts.training_users, 1) / max(facts.num_users, 1))
        columns = [np.stack([rarity, facts.popularity], axis=1)]
        if facts.vectors is not None:
            length = np.linalg.norm(facts.vectors.astype(np.float64), axis=1, keepdims=True)
            columns += [length > 0, facts.vectors / np.where(length > 0, length, 1.0)]
        self._table = np.ascontiguousarray(np.concatenate(columns, axis=1), dtype=np.float64)

    @property
    def names(self) -> tuple[str, ...]:
        kinds = ["novelty", "popularity"]
        kinds += ["diversity"] if self._facts.vectors is not None else []
        kinds += ["serendipity"] if self._profiles is not None else []
        return tuple(f"{kind}_at_{k}" for kind in kinds for k in self._cuts)

    def __call__(self, lists: RankedLists) -> dict[str, Floats]:
        """Metric name → float64 [users]."""
        there = np.minimum(lists.lengths[:, None], self._cuts)
        sums = self._sums(lists, there)
        values = [_ratio(sums[:, :, 0], there), _ratio(sums[:, :, 1], there)]
        if self._facts.vectors is not None:
            known, vectors = sums[:, :, 2], sums[:, :, 3:]
            likeness = np.einsum("ukd,ukd->uk", vectors, vectors) - known
            values.append(1 - _ratio(likeness, known * (known - 1)))
        if self._profiles is not None:
            values.append(self._serendipity(lists, self._profiles))
        return dict(zip(self.names, np.concatenate(values, axis=1).T, strict=True))

    def _sums(self, lists: RankedLists, there: NDArray[np.int64]) -> Floats:
        """Sums of the items' table over the first k of each list. [users, cuts, columns]

        A sparse row for each part of a list between two cuts; a row's sum does not depend on the other rows.
        """
        parts = np.diff(there, axis=1, prepend=0)
        ends = np.concatenate([[0], np.cumsum(parts)])
        items = lists.items[:, : int(there.max(initial=0))]
        items = items[items != NO_ITEM].astype(np.int32)
        chosen = csr_array((np.ones(len(items)), items, ends.astype(np.int32)), (parts.size, self._facts.num_items))
        sums = (chosen @ self._table).reshape(*parts.shape, self._table.shape[1])
        return np.cumsum(sums, axis=1)

    def _serendipity(self, lists: RankedLists, profiles: Profiles) -> Floats:
        rows, places = np.nonzero(lists.hits)
        ranks = self._facts.popularity_ranks[lists.items[rows, places]]
        expected_at = ranks - profiles.more_popular(lists.users[rows], ranks)  # place in the user's own popularity list
        result = np.empty((len(lists), len(self._cuts)))
        for column, k in enumerate(self._cuts):
            counted = rows[(places < k) & (expected_at >= k)]
            result[:, column] = np.bincount(counted, minlength=len(lists)) / k
        return result


def popularity_lift(popularity: Floats, profile_popularity: Floats) -> float:
    """GAP(lists) / GAP(profiles) − 1, with GAP the users' mean of mean popularity (Abdollahpouri et al. 2019).

    Above 0 the lists are more popular than what the users themselves took. Users without a list or without a profile
    (NaN) are left out of both; NaN when none is left.

    Args:
        popularity: `popularity_at_k` of each user. [users]
        profile_popularity: the same of what the user already has: `Profiles.popularity[users]`. [users]

    """
    is_known = ~(np.isnan(popularity) | np.isnan(profile_popularity))
    if not is_known.any():
        return float("nan")
    return float(popularity[is_known].mean() / profile_popularity[is_known].mean() - 1)


def _ratio(sums: Floats, counts: NDArray) -> Floats:
    """Mean, NaN where nothing was counted."""
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
