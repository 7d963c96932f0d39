"""Whether a model of two parts is better than each of its parts alone, as Markdown."""

from __future__ import annotations

import statistics

import numpy as np

from benchmarks.quality.contest import Entry, Outcome
from benchmarks.quality.estimate import Estimate, percentiles
from benchmarks.training.table import plain_table

HALVES = {"wide_deep": ("wide", "deep"), "deepfm": ("fm", "deep")}  # ours; as their papers compare them


def halves_table(outcome: Outcome) -> str | None:
    """Each model of `HALVES` minus each of its halves, paired; None where none of them ran."""
    entries = {entry.entrant.name: entry for entry in outcome.entries if entry.entrant.is_ours}
    pairs = [
        (entries[name], entries[half])
        for name, halves in HALVES.items()
        for half in halves
        if name in entries and half in entries
    ]
    if not pairs:
        return None
    rows = [_row(whole, half) for whole, half in pairs]
    heads = ("model", "half", "AUC minus the half's (95 %)", "log loss minus the half's (95 %)",
             "higher AUC in seeds", "by AUC")  # fmt: skip
    return plain_table(f"{outcome.data.title}: models beside their halves, test", heads, rows)


def _row(whole: Entry, half: Entry) -> tuple[str, ...]:
    found = {name: difference(whole, half, name) for name in ("auc", "log_loss")}
    both = list(zip(whole.runs, half.runs, strict=False))  # the same seed each
    higher = sum(one.metric("test", "auc") > other.metric("test", "auc") for one, other in both)
    return (
        whole.entrant.title,
        half.entrant.title,
        found["auc"].signed,
        found["log_loss"].signed,
        f"{higher} of {len(both)}",
        verdict(found["auc"]),
    )


def difference(whole: Entry, half: Entry, metric: str) -> Estimate:
    """Of means over the seeds, with an interval over the same draws of the test events for both."""
    means = [statistics.mean(run.metric("test", metric) for run in entry.runs) for entry in (whole, half)]
    drawn: np.ndarray = whole.drawn[metric] - half.drawn[metric]
    return percentiles(drawn, means[0] - means[1])


def verdict(found: Estimate) -> str:
    """In words; of an interval that holds 0 nothing is said."""
    if found.low > 0:
        return "better than the half"
    return "worse than the half" if found.high < 0 else "not told apart from the half"
