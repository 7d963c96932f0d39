"""A comparison as tables and as JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.report.comparison import Comparison, Contender
from trainer.report.estimates import FEWEST_USERS, Difference, Estimate, difference, estimate
from trainer.report.per_user import PerUser, mean_of
from trainer.report.ratings import METRICS as RATING_METRICS
from trainer.report.results import MAIN_SET
from trainer.report.slices import Slice, SliceGroup, slice_groups
from trainer.report.tables import Scale, main_metrics

_COSTS = {
    "train_seconds": ("cost/train_seconds", "train/training_seconds"),
    "peak_memory_bytes": ("cost/peak_memory_bytes",),
    "model_bytes": ("cost/model_bytes",),
    "latency_p50_ms": ("cost/latency_p50_ms",),
    "latency_p99_ms": ("cost/latency_p99_ms",),
}


@dataclass(frozen=True)
class ContenderRow:
    """A contender's estimates, and the standard deviation over its seeds."""

    name: str
    colour: int
    seeds: int
    cells: tuple[Estimate, ...]
    spreads: tuple[float, ...]
    is_baseline: bool = False


@dataclass(frozen=True)
class ComparedSlice:
    """A slice, each contender's estimate in it, and by how much each is better than the first."""

    label: str
    users: int
    cells: tuple[Estimate, ...]
    differences: tuple[Difference | None, ...]


@dataclass(frozen=True)
class ComparedSlices:
    """Slices of one property."""

    title: str
    rows: tuple[ComparedSlice, ...]
    scale: Scale


def shown_metrics(comparison: Comparison) -> list[str]:
    """The metric of the tests first, then the usual ones that every job has, and the errors of predicted ratings."""
    runs = [run for one in comparison.contenders for run in one.runs]
    names = dict.fromkeys([comparison.metric, *main_metrics(comparison.first), *RATING_METRICS])
    return [name for name in names if all(run.value(MAIN_SET, name) is not None for run in runs)]


def contender_rows(comparison: Comparison) -> list[ContenderRow]:
    metrics = shown_metrics(comparison)
    return [
        ContenderRow(
            one.name,
            colour,
            len(one.runs),
            tuple(_cell(one, metric) for metric in metrics),
            tuple(one.spread(metric) for metric in metrics),
        )
        for colour, one in enumerate(comparison.contenders)
    ]


def _cell(one: Contender, metric: str) -> Estimate:
    """With an interval over users; metrics that no user has alone (coverage) have none with several seeds."""
    if len(one.runs) == 1:
        return one.estimate(metric)
    mean, none = one.mean(metric), float("nan")
    try:
        found = one.estimate(metric)
    except (KeyError, ValueError):
        return Estimate(mean, none, none, 0)
    return Estimate(mean, found.low, found.high, found.users)


def compared_slices(comparison: Comparison) -> list[ComparedSlices]:
    """The metric of the tests by parts of users and items, for every contender."""
    tables = []
    for group in slice_groups(comparison.first.data):
        rows = [row for one in group.slices if (row := _slice(comparison, one, group)) is not None]
        if len(rows) > 1:
            scale = Scale.around(cell for row in rows for cell in row.cells)
            tables.append(ComparedSlices(group.title, tuple(rows), scale))
    return tables


def _slice(comparison: Comparison, one: Slice, group: SliceGroup) -> ComparedSlice | None:
    metric = comparison.metric
    values = [_in_slice(contender, one, group, metric) for contender in comparison.contenders]
    if min(len(found) for found in values) < FEWEST_USERS:
        return None
    return ComparedSlice(
        one.label,
        len(values[0]),
        tuple(estimate(found, metric) for found in values),
        tuple(difference(found, values[0], metric, test="t") for found in values[1:]),
    )


def _in_slice(contender: Contender, one: Slice, group: SliceGroup, metric: str) -> PerUser:
    if group.side == "item":
        return mean_of([outcome.per_user(metric, one.members) for outcome in contender.outcomes()])
    return contender.per_user(metric).of(one.members)


def costs(one: Contender) -> dict[str, float]:
    """Figures that all runs of a contender have."""
    found = {name: one.cost(*keys) for name, keys in _COSTS.items()}
    return {name: value for name, value in found.items() if value is not None}


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Everything of the page that is a figure, NaN as null."""
    metrics = shown_metrics(comparison)
    return {
        "dataset_fingerprint": comparison.first.config.dataset_fingerprint,
        "metric": f"{MAIN_SET}/{comparison.metric}",
        "best": comparison.best.name,
        "models": [
            {
                "name": row.name,
                "jobs": [str(run.job.path) for run in one.runs],
                "seeds": [run.config.seed for run in one.runs],
                "metrics": {
                    f"{MAIN_SET}/{metric}": {
                        "mean": _figure(cell.mean),
                        "low": _figure(cell.low),
                        "high": _figure(cell.high),
                        "std_over_seeds": _figure(spread),
                    }
                    for metric, cell, spread in zip(metrics, row.cells, row.spreads, strict=True)
                },
                "cost": costs(one),
            }
            for one, row in zip(comparison.contenders, contender_rows(comparison), strict=True)
        ],
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                "better_by": _figure(pair.found.mean),
                "low": _figure(pair.found.low),
                "high": _figure(pair.found.high),
                "p_value": _figure(pair.found.p_value),
                "p_holm": _figure(pair.p_holm),
                "users": pair.found.users,
                "wins": pair.found.wins,
                "ties": pair.found.ties,
                "losses": pair.found.losses,
            }
            for pair in comparison.pairs
        ],
    }


def _figure(value: float) -> float | None:
    return float(np.round(value, 10)) if math.isfinite(value) else None
