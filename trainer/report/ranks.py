"""Plots of ranked lists: a metric at every cut, and how popular what is recommended is."""

from __future__ import annotations

import numpy as np

from tfrec.certainty import bootstrap_mean
from tfrec.metrics.lists import NO_ITEM
from trainer.report.curves import Plot
from trainer.report.names import metric_name
from trainer.report.per_user import ListOutcome
from trainer.report.plots import Curve, lines
from trainer.report.results import MAIN_SET, JobResults

KS = (1, 2, 3, 5, 10, 20, 50, 100)
BASES = ("ndcg", "recall", "hit_rate")
CUT = 10  # of the lists whose popularity is looked at
TENTHS = 10


def shown_models(results: JobResults) -> list[tuple[str, ListOutcome, int]]:
    """Name, lists and colour of the model and of its baselines, as far as they were kept."""
    names: list[str | None] = [None, *results.baselines]
    outcomes = [(name, results.outcome(MAIN_SET, name)) for name in names]
    return [
        (results.label(name), outcome, colour)
        for colour, (name, outcome) in enumerate(outcomes)
        if isinstance(outcome, ListOutcome) and len(outcome.lists)
    ]


def cut_curves(models: list[tuple[str, ListOutcome, int]]) -> list[Plot]:
    """Each metric at every k, with 95 % intervals by bootstrap over users."""
    plots = []
    for base in _distinct_bases(models):
        curves = []
        for name, outcome, colour in models:
            ks = [k for k in KS if k <= max(outcome.lists.items.shape[1], 1)]
            found = bootstrap_mean(outcome.curve(base, ks), users=outcome.lists.users)
            curves.append(Curve(name, np.array(ks), found.mean, found.low, found.high, colour, has_dots=True))
        label = metric_name(f"{base}_at_k")
        plots.append(Plot(label, lines(curves, "k", label, x_ticks=KS, is_log=True, from_zero=True)))
    return plots


def _distinct_bases(models: list[tuple[str, ListOutcome, int]]) -> list[str]:
    """Where each user has one item to find, the hit rate is the recall."""
    one_each = all((outcome.lists.relevant_counts == 1).all() for _, outcome, _ in models)
    return [base for base in BASES if base != "hit_rate" or not one_each]


def exposure_plots(results: JobResults, models: list[tuple[str, ListOutcome, int]]) -> list[Plot]:
    """Which items get the places of the lists: by popularity, and how unequally."""
    if not models:
        return []
    events = results.data.model_inputs.train.item_counts()
    tenths = _tenths_of_events(events)
    by_tenth, lorenz = [], []
    for name, outcome, colour in models:
        shown = exposure(outcome, len(events))
        share = np.bincount(tenths, weights=shown, minlength=TENTHS) / max(shown.sum(), 1)
        by_tenth.append(Curve(name, np.arange(1, TENTHS + 1), 100 * share, colour=colour, has_dots=True))
        lorenz.append(Curve(name, *_lorenz(shown), colour=colour))
    taken = np.bincount(tenths, weights=events, minlength=TENTHS) / max(events.sum(), 1)
    even = Curve("as in training", np.arange(1, TENTHS + 1), 100 * taken, colour=None)
    lorenz.append(Curve("training events", *_lorenz(events), colour=None))
    return [
        Plot(
            "Exposure by popularity",
            lines([*by_tenth, even], "tenth of training events, most popular items first", "% of recommended places",
                  x_ticks=range(1, TENTHS + 1), from_zero=True),
            "Items are put in ten groups of as many training events each, as far as possible. A line above the dashed "
            f"one on the left recommends popular items more than people took them. First {CUT} places of each list.",
        ),
        Plot(
            "Inequality of exposure",
            lines(lorenz, "% of items, least shown first", "% of recommended places"),
            "Lorenz curves: the further below the diagonal, the fewer items share the places.",
        ),
    ]  # fmt: skip


def exposure(outcome: ListOutcome, num_items: int) -> np.ndarray:
    """In how many users' first places each item stands: int64 [num_items]."""
    listed = outcome.lists.items[:, :CUT]
    return np.bincount(listed[listed != NO_ITEM], minlength=num_items)


def _tenths_of_events(events: np.ndarray) -> np.ndarray:
    """Group of each item, 0 for the most popular; each group has a tenth of the events, or one very popular item."""
    order = np.argsort(-events, kind="stable")
    middle = np.cumsum(events[order]) - events[order] / 2
    group = np.empty(len(events), np.int64)
    group[order] = np.minimum(TENTHS * middle / max(events.sum(), 1), TENTHS - 1).astype(np.int64)
    return group


def _lorenz(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percent of items and of what they have together, ascending, in at most 100 points."""
    together = np.concatenate([[0], np.cumsum(np.sort(counts))])
    at = np.unique(np.linspace(0, len(counts), 100).astype(int))
    return 100 * at / max(len(counts), 1), 100 * together[at] / max(together[-1], 1)
