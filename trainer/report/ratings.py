"""How near the predicted ratings of a retrieval model are, beside each item's mean."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.evaluation.direction import LOWER_IS_BETTER
from trainer.evaluation.events import SPLITS
from trainer.evaluation.ratings import BASELINE
from trainer.report.names import metric_name, set_name
from trainer.report.results import JobResults

METRICS = ("rmse", "mae", "spearman", "kendall")


@dataclass(frozen=True)
class RatingRow:
    """One metric of one split; None where metrics.json has no such figure."""

    set: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    item_mean: float | None


def rating_rows(results: JobResults) -> list[RatingRow]:
    """Every metric of predicted ratings, the test split first; nothing for a model that predicts none."""
    if results.task != "retrieval":
        return []
    return [
        RatingRow(
            set_name(split),
            metric_name(metric) + (" ↓" if metric in LOWER_IS_BETTER else ""),
            value,
            results.value(split, f"{metric}/low"),
            results.value(split, f"{metric}/high"),
            results.value(split, metric, BASELINE),
        )
        for split in reversed(SPLITS)
        for metric in METRICS
        if (value := results.value(split, metric)) is not None
    ]
