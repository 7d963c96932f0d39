"""Outcomes as Markdown, for RESULTS.md."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence

import numpy as np

from benchmarks.quality.contest import Entry, Outcome
from benchmarks.quality.estimate import Estimate, percentiles
from benchmarks.quality.halves import halves_table
from benchmarks.training.table import plain_table
from tfrec.certainty import bootstrap_mean, compare_with_one, seed_summary

METRIC = "ndcg_at_10"


def tables(outcome: Outcome) -> str:
    """All that is known of a data set: results, settings, agreement with the libraries, what is absent."""
    result = _retrieval if outcome.data.task == "retrieval" else _ranking
    parts = [result(outcome)] if outcome.entries else []
    if outcome.data.task == "ranking" and (halves := halves_table(outcome)) is not None:
        parts.append(halves)
    parts += [_settings(outcome), _agreement(outcome)] if outcome.entries else []
    if outcome.absent:
        rows = [(title, why.replace("|", "/")) for title, why in outcome.absent.items()]
        parts.append(plain_table(f"{outcome.data.title}: not measured", ("model", "why"), rows))
    return "\n".join(parts)


def by_validation(entries: Sequence[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: -entry.validation)


def reference(entries: Sequence[Entry]) -> Entry:
    """What the others are compared with: our best on validation, or the best where none is ours."""
    ordered = by_validation(entries)
    return next((entry for entry in ordered if entry.entrant.is_ours), ordered[0])


def _retrieval(outcome: Outcome) -> str:
    entries, best = by_validation(outcome.entries), reference(outcome.entries)
    against = _differences(best, [entry for entry in entries if entry is not best])
    rows = []
    for entry in entries:
        training = _mean(entry, "test_training_history", METRIC)
        rows.append(
            (
                entry.entrant.title,
                str(_estimate(_values(entry, "test"))),
                _mean(entry, "test", "recall_at_10"),
                against.get(entry.entrant.name, ""),
                training,
                _mean(entry, "validation", METRIC),
                _mean(entry, "test", "coverage_at_10"),
                " ".join(f"{run.metric('test', METRIC):.4f}" for run in entry.runs) if len(entry.runs) > 1 else "",
                *_costs(entry),
            )
        )
    heads = ("model", "NDCG@10 (95 %)", "HR@10", f"minus {best.entrant.title} (95 %), p", "training history",
             "validation", "coverage@10", "NDCG@10 by seed", "fit s", "CPU s", "peak GB")  # fmt: skip
    users = len(_values(best, "test")[0])
    return plain_table(f"{outcome.data.title}: retrieval, {users:,} users, test", heads, rows)


def _ranking(outcome: Outcome) -> str:
    entries, best = by_validation(outcome.entries), reference(outcome.entries)
    rows = []
    for entry in entries:
        found = entry.drawn
        means = {name: statistics.mean(run.metric("test", name) for run in entry.runs) for name in found}
        others = {name: statistics.mean(run.metric("test", name) for run in best.runs) for name in found}
        difference = percentiles(found["auc"] - best.drawn["auc"], means["auc"] - others["auc"])
        rows.append(
            (
                entry.entrant.title,
                str(percentiles(found["auc"], means["auc"])),
                "" if entry is best else difference.signed,
                str(percentiles(found["log_loss"], means["log_loss"])),
                _mean(entry, "validation", "auc"),
                " ".join(f"{run.metric('test', 'auc'):.4f}" for run in entry.runs) if len(entry.runs) > 1 else "",
                *_costs(entry),
            )
        )
    heads = ("model", "AUC (95 %)", f"minus {best.entrant.title} (95 %)", "log loss (95 %)", "validation AUC",
             "AUC by seed", "fit s", "CPU s", "peak GB")  # fmt: skip
    events = len(best.runs[0].clicks.labels)
    return plain_table(f"{outcome.data.title}: ranking, {events:,} events, test", heads, rows)


def _settings(outcome: Outcome) -> str:
    rows = [
        (
            entry.entrant.title,
            str(entry.tried),
            json.dumps(entry.settings).replace('"', "")[1:-1] or "the library's own",
        )
        for entry in by_validation(outcome.entries)
    ]
    return plain_table(f"{outcome.data.title}: settings, chosen on validation", ("model", "tried", "taken"), rows)


def _agreement(outcome: Outcome) -> str:
    """What each library says of its own validation metric, beside what the judge says of its lists."""
    rows = []
    for entry in by_validation(outcome.entries):
        for name, own in entry.runs[0].about["own_validation"].items():
            judged = entry.runs[0].metric("validation", name)
            rows.append((entry.entrant.title, name, f"{own:.4f}", f"{judged:.4f}", f"{own - judged:+.4f}"))
    heads = ("model", "metric", "the library's own", "the judge's", "difference")
    return plain_table(f"{outcome.data.title}: validation, by the libraries themselves", heads, rows)


def _values(entry: Entry, of: str) -> np.ndarray:
    """NDCG@10. float [seeds, users]"""
    return np.stack([run.per_user(of)[METRIC] for run in entry.runs])


def _estimate(values: np.ndarray) -> Estimate:
    """Over users, and over seeds where there are several. float [seeds, users] → their mean"""
    found = seed_summary(values) if len(values) > 1 else bootstrap_mean(values[0])
    return Estimate(found.mean, found.low, found.high)


def _differences(best: Entry, others: Sequence[Entry]) -> dict[str, str]:
    if not others:
        return {}
    each = np.stack([_values(entry, "test").mean(axis=0) for entry in others])
    found = compare_with_one(_values(best, "test").mean(axis=0), each)
    return {
        entry.entrant.name: f"{Estimate(*numbers[:3]).signed}, {numbers[3]:.4f}"
        for entry, numbers in zip(
            others, zip(found.differences, found.low, found.high, found.p_values, strict=True), strict=True
        )
    }


def _mean(entry: Entry, of: str, name: str) -> str:
    if of not in entry.runs[0].about["metrics"]:
        return ""
    return f"{statistics.mean(run.metric(of, name) for run in entry.runs):.4f}"


def _costs(entry: Entry) -> tuple[str, str, str]:
    fit, cpu, peak = (
        statistics.median(run.about[name] for run in entry.runs)
        for name in ("fit_seconds", "cpu_seconds", "peak_bytes")
    )
    return f"{fit:.1f}", f"{cpu:.0f}", f"{peak / 1e9:.2f}"
