"""How well a sequence model says what the next event is besides its item, beside the shares of the training."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.evaluation.baseline_names import SHARES
from trainer.evaluation.direction import lower_is_better
from trainer.evaluation.events import SPLITS
from trainer.report.names import metric_name, set_name
from trainer.report.results import JobResults


@dataclass(frozen=True)
class NextContextRow:
    """One metric of one predicted feature on one split."""

    set: str
    metric: str
    value: float | None
    shares: float | None


def next_context_rows(results: JobResults) -> list[NextContextRow]:
    """Every metric of predicted context, the test split first; nothing for a model that predicts none."""
    found = []
    for split in reversed(SPLITS):
        prefix = f"{split}/{SHARES}/"
        for metric in [key.removeprefix(prefix) for key in results.metrics if key.startswith(prefix)]:
            name = metric_name(metric) + (" ↓" if lower_is_better(metric) else "")
            value, shares = results.value(split, metric), results.value(split, metric, SHARES)
            found.append(NextContextRow(set_name(split), name, value, shares))
    return found
