"""Results on a published split as Markdown: the models in order, each beside the reference."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.published.cells import Finished, Settings
from benchmarks.published.protocol import Judgement
from benchmarks.training.table import plain_table
from tfrec.certainty import bootstrap_mean, compare_with_one, seed_summary

Runs = Mapping[str, Sequence[Finished]]


def table(judgement: Judgement, runs: Runs, chosen: Mapping[str, Settings], reference: str) -> str:
    """One row a model, the best first; differences of means over the seeds, paired by user."""

    def mean(model: str, metric: str) -> float:
        return statistics.mean(run.metrics[f"{judgement.asked}/{metric}"] for run in runs[model])

    def median(model: str, key: str) -> float:
        return statistics.median(run.metrics[key] for run in runs[model])

    first = judgement.metrics[0]
    ordered = sorted(runs, key=lambda model: -mean(model, first))
    against = differences(runs, reference) if reference in runs else {}
    rows = []
    for model in ordered:
        ndcg = np.stack([run.ndcg for run in runs[model]])
        found = seed_summary(ndcg) if len(ndcg) > 1 else bootstrap_mean(ndcg[0])
        rows.append(
            (
                model,
                f"{mean(model, first):.4f} ({found.low:.4f}–{found.high:.4f})",
                *(f"{mean(model, metric):.4f}" for metric in judgement.metrics[1:]),
                against.get(model, ""),
                " ".join(f"{run.metrics[f'{judgement.asked}/{first}']:.4f}" for run in runs[model]),
                f"{median(model, 'cost/train_seconds') / 60:.1f}",
                f"{median(model, 'cpu_seconds') / 60:.1f}",
                f"{median(model, 'peak_bytes') / 1e9:.2f}",
                settings_text(chosen[model]),
            )
        )
    heads = ("model", f"{first} (95 %)", *judgement.metrics[1:], f"minus {reference} (95 %), p", f"{first} by seed",
             "training, minutes", "CPU minutes with start and tests", "peak GB", "settings")  # fmt: skip
    users = len(next(iter(runs.values()))[0].users)
    return plain_table(f"{judgement.title}, {users:,} users", heads, rows)


def differences(runs: Runs, reference: str) -> dict[str, str]:
    """Of nDCG@10, with intervals that hold together and p adjusted for all rows."""
    others = [model for model in runs if model != reference]
    if not others:
        return {}
    each = np.stack([_by_user(runs[model]) for model in others])
    found = compare_with_one(_by_user(runs[reference]), each)
    numbers = zip(found.differences, found.low, found.high, found.p_values, strict=True)
    return {
        model: f"{difference:+.4f} ({low:+.4f}…{high:+.4f}), {p:.4f}"
        for model, (difference, low, high, p) in zip(others, numbers, strict=True)
    }


def settings_text(settings: Settings) -> str:
    rounded = {key.rpartition(".")[2]: _short(value) for key, value in settings.items()}
    return json.dumps(rounded).replace('"', "")[1:-1] or "the defaults"


def _short(value: Any) -> Any:
    """Of models to start from the names alone: their settings stand in rows of their own."""
    if isinstance(value, dict):
        return list(value)
    return f"{value:.3g}" if isinstance(value, float) else value


def _by_user(runs: Sequence[Finished]) -> np.ndarray:
    return np.mean([run.ndcg for run in runs], axis=0)
