"""The tables of a page: models by metrics, query sets, slices; each interval also as a drawn whisker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.evaluation.direction import lower_is_better, neither_is_better
from trainer.evaluation.event_metrics import first_of_tasks
from trainer.report.estimates import FEWEST_USERS, Difference, Estimate, difference, estimate, model_estimate
from trainer.report.names import metric_name, set_name
from trainer.report.per_user import EventOutcome, Outcome, PerUser, is_per_user
from trainer.report.results import MAIN_SET, JobResults
from trainer.report.slices import Slice, SliceGroup, event_slice_groups, slice_groups

_RETRIEVAL = (
    "ndcg_at_10",
    "recall_at_10",
    "hit_rate_at_10",
    "mrr_at_10",
    "map_at_10",
    "recall_at_100",
    "coverage_at_10",
)
_RANKING = (
    "auc",
    "gauc",
    "request_ndcg_at_10",
    "pr_auc",
    "log_loss",
    "normalised_entropy",
    "expected_calibration_error",
    "calibration_ratio",
    "rmse",
    "mae",
    "prediction_bias",
    "spearman",
    "kendall",
)
_BEFORE_TASKS = 3  # of them stand before those of further predictions
_MOST_COLUMNS = 7


@dataclass(frozen=True)
class Scale:
    """Places of figures on a strip of 100 units."""

    low: float
    high: float

    @classmethod
    def around(cls, estimates: Iterable[Estimate | None]) -> Scale:
        found = [end for one in estimates if one is not None for end in (one.mean, one.low, one.high)]
        finite = [end for end in found if np.isfinite(end)]
        return cls(min(finite, default=0.0), max(finite, default=1.0))

    def at(self, value: float) -> float:
        """From 2 to 98, so that dots have room at the ends."""
        width = (self.high - self.low) or 1.0
        return round(2 + 96 * min(max((value - self.low) / width, 0.0), 1.0), 2)


@dataclass(frozen=True)
class ModelRow:
    """A model, or a baseline, and its estimate of each metric."""

    name: str
    colour: int
    cells: tuple[Estimate | None, ...]


@dataclass(frozen=True)
class ModelTable:
    """`best[i]` is the number of the row that is best in column i."""

    metrics: tuple[str, ...]
    rows: tuple[ModelRow, ...]
    best: tuple[int | None, ...]
    scale: Scale  # of the first column


@dataclass(frozen=True)
class SetRow:
    """A query set, and the headline metric of each model on it."""

    name: str
    users: int
    cells: tuple[Estimate | None, ...]


@dataclass(frozen=True)
class SliceRow:
    """A slice with the model, the baseline and by how much the model is better; None where too few users are in it."""

    label: str
    users: int
    model: Estimate | None
    baseline: Estimate | None
    difference: Difference | None


@dataclass(frozen=True)
class SliceTable:
    """Slices of one property."""

    title: str
    side: str
    rows: tuple[SliceRow, ...]
    scale: Scale


def main_table(results: JobResults) -> ModelTable:
    """The model and every baseline on the test set."""
    metrics = main_metrics(results)
    names: list[str | None] = [None, *results.baselines]
    rows = tuple(
        ModelRow(
            results.label(name),
            colour,
            tuple(model_estimate(results, MAIN_SET, metric, name) for metric in metrics),
        )
        for colour, name in enumerate(names)
    )
    best = tuple(_best(metric, [row.cells[column] for row in rows]) for column, metric in enumerate(metrics))
    return ModelTable(metrics, rows, best, Scale.around(row.cells[0] for row in rows))


def set_rows(results: JobResults) -> list[SetRow]:
    """The headline metric on every query set, the test set first; the model alone has an interval."""
    found = []
    for of in results.sets:
        users = int(results.value(of, "users") or results.value(of, "rows") or 0)
        model = model_estimate(results, of, results.headline)
        values = [results.value(of, results.headline, baseline) for baseline in results.baselines]
        cells = (model, *(None if value is None else Estimate(value, np.nan, np.nan, users) for value in values))
        if any(cell is not None for cell in cells):
            found.append(SetRow(set_name(of), users, cells))
    return found


def slice_tables(results: JobResults) -> list[SliceTable]:
    """The headline metric by parts of users, items and events; nothing where predictions were not kept."""
    ours = results.outcome(MAIN_SET)
    if ours is None or not is_per_user(results.headline, results.task):
        return []
    baseline = results.best_baseline(MAIN_SET, results.headline)
    theirs = results.outcome(MAIN_SET, baseline) if baseline else None
    tables = []
    groups = slice_groups(results.data)
    if isinstance(ours, EventOutcome):
        groups += event_slice_groups(results.data, MAIN_SET)
    for group in groups:
        rows = [_slice_row(one, group, ours, theirs, results.headline) for one in group.slices]
        rows = [row for row in rows if row.users]
        if len(rows) > 1 and any(row.model is not None for row in rows):
            scale = Scale.around(cell for row in rows for cell in (row.model, row.baseline))
            tables.append(SliceTable(group.title, group.side, tuple(rows), scale))
    return tables


def _slice_row(one: Slice, group: SliceGroup, ours: Outcome, theirs: Outcome | None, metric: str) -> SliceRow:
    model = _in_slice(ours, one, group, metric)
    baseline = None if theirs is None else _in_slice(theirs, one, group, metric)
    if len(model) < FEWEST_USERS:
        return SliceRow(one.label, len(model), None, None, None)
    return SliceRow(
        one.label,
        len(model),
        estimate(model, metric),
        None if baseline is None else estimate(baseline, metric),
        None if baseline is None else difference(model, baseline, metric, test="t"),
    )


def _in_slice(outcome: Outcome, one: Slice, group: SliceGroup, metric: str) -> PerUser:
    if group.side == "item":
        return outcome.per_user(metric, one.members)
    if group.side == "event":
        assert isinstance(outcome, EventOutcome)
        return outcome.of(one.members).per_user(metric)
    return outcome.per_user(metric).of(one.members)


def main_metrics(results: JobResults) -> tuple[str, ...]:
    """What the first screen shows: the headline metric, then the usual ones; none that says the same as another."""
    parts = (key.split("/") for key in results.metrics if key.startswith(f"{MAIN_SET}/"))
    present = [part[1] for part in parts if len(part) == 2]
    wanted = [name for name in (_RETRIEVAL if results.task == "retrieval" else _RANKING) if name in present]
    if results.task == "ranking":
        wanted[_BEFORE_TASKS:_BEFORE_TASKS] = first_of_tasks(present)
    chosen = dict.fromkeys([results.headline, *wanted])
    if results.value(MAIN_SET, "hit_rate_at_10") == results.value(MAIN_SET, "recall_at_10"):
        chosen.pop("hit_rate_at_10", None)  # one item to find for each user: the same figure twice
    if results.value(MAIN_SET, "map_at_10") == results.value(MAIN_SET, "mrr_at_10"):
        chosen.pop("map_at_10", None)
    return tuple(chosen)[:_MOST_COLUMNS]


def _best(metric: str, cells: Sequence[Estimate | None]) -> int | None:
    found = {row: cell.mean for row, cell in enumerate(cells) if cell is not None and np.isfinite(cell.mean)}
    if len(found) < 2 or neither_is_better(metric):
        return None
    sign = -1 if lower_is_better(metric) else 1
    return max(found, key=lambda row: sign * found[row])


def column_names(table: ModelTable) -> list[str]:
    """For the table's head; an arrow where lower is better."""
    return [metric_name(metric) + (" ↓" if lower_is_better(metric) else "") for metric in table.metrics]
