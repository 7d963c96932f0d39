"""What a round was worth: what the recommender's own log says of it, and what is true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfrec.simulation import measures, plackett_luce
from tfrec.simulation.log import ImpressionLog
from tfrec.simulation.policies import Greedy
from tfrec.simulation.shadow import Shadow
from tfrec.simulation.state import State
from tfrec.simulation.traffic import Traffic
from tfrec.simulation.training import TrainingConfig
from tfrec.simulation.value import Scorer, oracle, true_value


@dataclass(frozen=True)
class RoundFigures:
    """One round of a loop.

    Attributes:
        round_number: from 0.
        requests: served.
        logged_reward: clicks per request, as logged.
        reward: expected clicks per request of what was shown.
        greedy_reward: of the best slates by what is now learnt, to users rested (`State.fresh`): what it knows.
        best_reward: the same of the best slates there are.
        offline_recall: of the clicks logged after the last training, by what was learnt in it.
        true_recall: what it would be at these requests of clicks on evenly shown items.
        gini: of this round's impressions over the items that are there.
        coverage: share of these items that was shown in this round.
        late_items: how often an item that came after the first round was shown, in means of all items; NaN before any.
        jaccard: common share of the lists of two random users.
        taste_coverage: share of a user's three favourite genres in its list.

    """

    round_number: int
    requests: int
    logged_reward: float
    reward: float
    greedy_reward: float
    best_reward: float
    offline_recall: float
    true_recall: float
    gini: float
    coverage: float
    late_items: float
    jaccard: float
    taste_coverage: float

    @property
    def illusion(self) -> float:
        """What the offline metric says too much."""
        return self.offline_recall - self.true_recall


def judge(
    training: TrainingConfig,
    state: State,
    parts: tuple[Traffic, Traffic],
    scorer: Scorer,
    shadow: Shadow,
    *,
    seed: int,
    k: int,
) -> RoundFigures:
    """A round at its end: `scorer` was trained between its two parts, and its `shadow` saw the second."""
    log, rested = ImpressionLog.concatenated([part.log for part in parts]), state.fresh()
    number = sum(part.requests for part in parts)
    is_there = state.world.arrival_round <= state.round_number
    shown = np.bincount(log.item, minlength=len(is_there))[is_there]
    is_late = state.world.arrival_round[is_there] > 0
    requests, _ = rested.everybody()
    lists = plackett_luce.top(np.where(is_there, scorer(requests), -np.inf), k)
    pairs = measures.random_pairs(len(lists), seed)
    return RoundFigures(
        round_number=state.round_number,
        requests=number,
        logged_reward=float(log.clicked.sum() / max(number, 1)),
        reward=sum(part.expected_clicks for part in parts) / max(number, 1),
        greedy_reward=true_value(rested, Greedy(), scorer),
        best_reward=true_value(rested, Greedy(), oracle(rested)),
        offline_recall=shadow.offline_recall(training, parts[1].log),
        true_recall=shadow.true_recall(),
        gini=measures.gini(shown),
        coverage=float((shown > 0).mean()),
        late_items=float(shown[is_late].mean() / max(shown.mean(), 1e-9)) if is_late.any() else float("nan"),
        jaccard=measures.jaccard(lists, *pairs),
        taste_coverage=measures.taste_coverage(state.world, rested.tastes[requests.slots], lists),
    )
