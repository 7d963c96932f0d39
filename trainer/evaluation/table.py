"""The metrics that people compare first, with the baselines beside them."""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console

from tfrec.console import whole_table
from trainer.evaluation.baseline_names import SHARES, baseline_label
from trainer.evaluation.event_metrics import first_of_tasks

SHOWN = (
    "ndcg",
    "recall",
    "hit_rate",
    "mrr",
    "map",
    "auc",
    "gauc",
    "request_ndcg",
    "log_loss",
    "rmse",
    "mae",
    "spearman",
)
BASELINES = ("popularity", "item_knn", "ease", "item_mean")
LEFT_OUT = "left out: "


def print_metrics(console: Console, name: str, metrics: dict[str, Any]) -> None:
    """One row for each query set and metric; at 10, or at the smallest k; under it what was left out, and why."""
    parts = [key.split("/") for key in metrics if "/" in key]
    sets = [part for part in dict.fromkeys(part[0] for part in parts) if f"{part}/users" in metrics or part in EVENTS]
    others = list(dict.fromkeys(part[1] for part in parts if len(part) == 3 and part[2] not in ENDS))
    table = whole_table("set", "metric", name, *(baseline_label(other, name) for other in others))
    for found in sets:
        for metric in _shown(metrics, found):
            values = [metrics.get(f"{found}/{other}/{metric}", float("nan")) for other in others]
            table.add_row(found, metric, *(f"{value:.4f}" for value in (metrics[f"{found}/{metric}"], *values)))
    console.print(table)
    for what, meaning in metrics.get("protocol", {}).items():
        if meaning.startswith(LEFT_OUT) or what == "ks":
            console.print(f"{what}: {meaning}", style="yellow", highlight=False, soft_wrap=True)


EVENTS = ("validation", "test")  # the sets of ranking models
ENDS = ("low", "high")


def _shown(metrics: dict[str, Any], found: str) -> list[str]:
    """Names of the set's metrics to print, in the order of `SHOWN`, then those of further predictions."""
    cut = re.compile(rf"{found}/ndcg_at_(\d+)")
    ks = sorted(int(match[1]) for key in metrics if (match := cut.fullmatch(key)))
    k = 10 if 10 in ks else next(iter(ks), 10)
    usual = [
        name
        for base in SHOWN
        for name in (f"{base}_at_{k}", base)
        if f"{found}/{name}" in metrics and not (name == "auc" and ks)
    ]
    names = (key.partition("/")[2] for key in metrics if key.startswith(f"{found}/") and key.count("/") == 1)
    of_context = re.compile(rf"{found}/{SHARES}/(.+)")
    foreseen = [match[1] for key in metrics if (match := of_context.fullmatch(key))]
    return [*usual, *first_of_tasks(names), *foreseen]
