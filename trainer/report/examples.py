"""A few users with what they took, what is recommended, and what they took then; a few events with their predictions.

Which ones is decided by rules that the page states, so that nobody picks the pretty ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfrec.metrics.lists import NO_ITEM
from tfrec.schema import ITEM_INDEX, LABEL, USER_INDEX
from trainer.report.bias import predicted_values
from trainer.report.per_user import PREDICTION, EventOutcome, ListOutcome
from trainer.report.results import MAIN_SET, JobResults
from trainer.report.titles import item_titles, user_ids

AT_RANDOM, BEST, WORST = 3, 2, 2
PAST, LISTED, WANTED = 6, 10, 6
EVENTS = 6


@dataclass(frozen=True)
class Example:
    """One user. `listed`: title and whether the user took it; `wanted`: title and rank, or None where it is missing."""

    user: str
    why: str
    value: float
    events: int
    past: tuple[str, ...]
    listed: tuple[tuple[str, bool], ...]
    wanted: tuple[tuple[str, int | None], ...]
    more_wanted: int


@dataclass(frozen=True)
class EventExample:
    """One event of the test split."""

    why: str
    user: str
    item: str
    label: float
    prediction: float


def user_examples(results: JobResults) -> list[Example]:
    """Users at random (by the job's seed), those served best, and those served worst."""
    outcome = results.outcome(MAIN_SET)
    if not isinstance(outcome, ListOutcome) or not len(outcome.lists):
        return []
    data, lists, metric = results.data, outcome.lists, results.headline
    values = outcome.per_user(metric).values
    past = data.interactions("train", "validation")
    activity = np.diff(past.row_splits)[lists.users]
    drawn = np.random.default_rng(results.config.seed).permutation(len(lists))[:AT_RANDOM]
    best = np.lexsort((-activity, -values))[:BEST]
    worst = np.lexsort((-activity, values))[:WORST]
    chosen: dict[int, str] = {}
    for rows, why in (
        (drawn, "drawn at random"),
        (best, "served best"),
        (worst, "served worst"),
    ):
        for row in rows:
            chosen.setdefault(int(row), why)
    titles, users = item_titles(data), user_ids(data)
    found = []
    for row, why in chosen.items():
        user = int(lists.users[row])
        listed = [int(item) for item in lists.items[row] if item != NO_ITEM]
        wanted = lists.relevant_items[lists.relevant_splits[row] : lists.relevant_splits[row + 1]]
        ranks = {item: rank for rank, item in enumerate(listed, start=1)}
        is_wanted = set(wanted.tolist())
        placed = sorted(((titles[i], ranks.get(int(i))) for i in wanted), key=lambda one: (one[1] is None, one[1] or 0))
        found.append(
            Example(
                user=users[user],
                why=why,
                value=float(values[row]),
                events=int(activity[row]),
                past=tuple(titles[item] for item in past.of_user(user)[-PAST:]),
                listed=tuple((titles[item], item in is_wanted) for item in listed[:LISTED]),
                wanted=tuple(placed[:WANTED]),
                more_wanted=max(len(placed) - WANTED, 0),
            )
        )
    return found


def event_examples(results: JobResults) -> list[EventExample]:
    """Events at random, and those whose probability or value is furthest off, too low and too high."""
    outcome = results.outcome(MAIN_SET)
    if not isinstance(outcome, EventOutcome) or not len(outcome.events[LABEL]):
        return []
    events = outcome.events
    predicted = predicted_values(events[PREDICTION], results.has_probabilities)
    labels = events[LABEL].astype(np.float64)
    off = predicted - labels
    drawn = np.random.default_rng(results.config.seed).permutation(len(labels))[:EVENTS]
    far = EVENTS // 2 if results.predicts_values else 0  # scores without a unit are not too low or too high
    chosen: dict[int, str] = {}
    for rows, why in (
        (drawn, "drawn at random"),
        (np.argsort(off, kind="stable")[:far], "most underrated"),
        (np.argsort(-off, kind="stable")[:far], "most overrated"),
    ):
        for row in rows:
            chosen.setdefault(int(row), why)
    titles, users = item_titles(results.data), user_ids(results.data)
    return [
        EventExample(
            why,
            users[int(events[USER_INDEX][row])],
            titles[int(events[ITEM_INDEX][row])],
            float(labels[row]),
            float(predicted[row]),
        )
        for row, why in chosen.items()
    ]
