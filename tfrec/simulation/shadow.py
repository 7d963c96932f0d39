"""A newly trained recommender that looks on while an older one serves: its offline recall, and the true one.

It is trained on the log up to then alone, and ranks what each request could have been shown, as in a temporal split.
"""

from __future__ import annotations

import numpy as np

from tfrec.simulation.clicks import attraction
from tfrec.simulation.log import ImpressionLog
from tfrec.simulation.plackett_luce import top
from tfrec.simulation.policies import Slates
from tfrec.simulation.state import Requests, State
from tfrec.simulation.training import TrainingConfig, validation_rows, weights
from tfrec.simulation.value import Scorer


class Shadow:
    """An observer of traffic (`tfrec.simulation.traffic`) that ranks by `scorer`; its lists are of length `k`."""

    def __init__(self, scorer: Scorer, k: int) -> None:
        self._scorer, self._k = scorer, k
        self._is_listed: list[np.ndarray] = []
        self._listed_appeal = self._appeal = 0.0

    def __call__(self, state: State, requests: Requests, candidates: np.ndarray, slates: Slates) -> None:
        lists = top(np.where(candidates, self._scorer(requests), -np.inf), self._k)
        self._is_listed.append((slates.items[:, :, None] == lists[:, None, :]).any(axis=2).ravel())
        # What each candidate would be clicked, were all of a request's candidates shown alike.
        appeal = attraction(state, requests) * candidates / candidates.sum(axis=1, keepdims=True)
        self._listed_appeal += float(np.take_along_axis(appeal, lists, axis=1).sum())
        self._appeal += float(appeal.sum())

    def offline_recall(self, training: TrainingConfig, log: ImpressionLog) -> float:
        """Weighted share of the clicks of the watched log that were on listed items; NaN without a click."""
        chosen = validation_rows(training, log) & log.clicked
        weight = weights(training, log.of(chosen))
        hits = np.concatenate(self._is_listed)[chosen]
        return float(weight @ hits / weight.sum()) if len(weight) else float("nan")

    def true_recall(self) -> float:
        """What the offline recall of evenly shown candidates would be: Σ appeal of the listed / Σ appeal of all."""
        return self._listed_appeal / self._appeal if self._appeal else float("nan")
