"""Examination from traffic whose positions were randomised: relevance is the same everywhere, so clicks are not."""

from __future__ import annotations

import numpy as np

from tfrec.errors import DataError
from tfrec.off_policy.clusters import Clusters
from tfrec.off_policy.examination import Examination, clicks_and_positions
from tfrec.off_policy.intervals import influence_interval


def examination_from_random_traffic(
    clicks: np.ndarray,
    positions: np.ndarray,
    *,
    labels: np.ndarray | None = None,
    swapped_with: np.ndarray | None = None,
) -> Examination:
    """θ_k / θ_1 = click rate at k / click rate at 1, with intervals on the logarithm.

    Args:
        clicks: 0 or 1. [rows]
        positions: where the item was shown. int [rows]
        labels: rows with one label (a user, a request) may depend on each other. [rows]
        swapped_with: None where every position was drawn at random. In a swap experiment only the items of the first
            and one other position change places, by a coin: that other position, for each of their rows. int [rows]

    Raises:
        DataError: as `clicks_and_positions`; or a position without a click, whose ratio has no interval.

    Source: Joachims, Swaminathan and Schnabel, "Unbiased learning-to-rank with biased feedback" (2017), section 5.

    """
    clicked, known, place = clicks_and_positions(clicks, positions)
    clusters = Clusters.of(labels, len(clicked))
    relative, low, high = np.ones((3, len(known)))
    for k in range(1, len(known)):
        used = np.ones(len(clicked), bool) if swapped_with is None else np.asarray(swapped_with) == known[k]
        here, first = used & (place == k), used & (place == 0)
        if not clicked[here].any() or not clicked[first].any():
            where = known[k] if not clicked[here].any() else known[0]
            raise DataError(f"position {where}: no click in the randomised traffic for position {known[k]}; log more")
        rate, first_rate = clicked[here].mean(), clicked[first].mean()
        influence = here * (clicked - rate) / (rate * here.mean())
        influence = influence - first * (clicked - first_rate) / (first_rate * first.mean())
        interval = influence_interval(influence, clusters)
        relative[k] = rate / first_rate
        low[k], high[k] = relative[k] * np.exp([interval.low, interval.high])
    return Examination(known, relative, low, high)
