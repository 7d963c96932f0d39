"""Tables of plain figures: the dataset, the cost, the protocol."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tfrec.schema import SPLITS
from trainer.checks.beyond_training import beyond_training
from trainer.report.names import bytes_text, metric_name, number, seconds_text
from trainer.report.results import MAIN_SET, JobResults

Fact = tuple[str, str]
_COSTS: dict[str, tuple[str, Callable[[float], str]]] = {
    "cost/train_seconds": ("training", seconds_text),
    "train/training_seconds": ("training", seconds_text),
    "train/epochs": ("epochs", lambda count: f"{count:,.0f}"),
    "train/steps": ("steps", lambda count: f"{count:,.0f}"),
    "train/examples_per_second": ("training speed", lambda count: f"{count:,.0f} examples/s"),
    "cost/peak_memory_bytes": ("peak memory", bytes_text),
    "cost/model_bytes": ("model size", bytes_text),
    "cost/latency_p50_ms": ("latency, median", lambda ms: f"{ms:.2f} ms"),
    "cost/latency_p99_ms": ("latency, 99th percentile", lambda ms: f"{ms:.2f} ms"),
}
_ACCURACY = ("ndcg", "recall", "precision", "hit_rate", "mrr", "map", "map_n", "auc", "request_ndcg")


def cost_facts(results: JobResults) -> list[Fact]:
    """What metrics.json says of time, memory and size; other `cost/…` figures as they are."""
    facts: dict[str, str] = {}
    for key, (label, write) in _COSTS.items():
        value = results.metrics.get(key)
        if isinstance(value, int | float):
            facts.setdefault(label, write(value))
    for key, value in results.metrics.items():
        if key.startswith("cost/") and key not in _COSTS:
            facts[key.removeprefix("cost/").replace("_", " ")] = (
                f"{value:g}" if isinstance(value, float) else str(value)
            )
    return list(facts.items())


def dataset_facts(results: JobResults) -> list[Fact]:
    data, dataset = results.data, results.data.dataset
    users, items, events = dataset.rows("users"), dataset.rows("items"), sum(dataset.rows(split) for split in SPLITS)
    rejected = dataset.manifest.get("rejected", 0)
    return [
        ("users", f"{users:,}"),
        ("items", f"{items:,}"),
        ("events", f"{events:,}"),
        ("density", f"{events / max(users * items, 1):.3%}"),
        ("rows not used", f"{rejected:,}"),
        ("split", str(data.schema.split.strategy).replace("_", " ")),
        ("fingerprint", dataset.fingerprint),
    ]


def split_rows(results: JobResults) -> list[tuple[str, str, str, str, str]]:
    """Split, rows, mean label, first and last day of its events."""
    rows = []
    for split in SPLITS:
        found: dict[str, Any] = results.data.dataset.statistics["splits"][split]
        days = (_day(found.get("first_time_ms")), _day(found.get("last_time_ms")))
        rows.append((split, f"{found['rows']:,}", number(found.get("label_mean")), *days))
    return rows


def feature_rows(results: JobResults) -> list[tuple[str, str, str, str, str]]:
    """Feature, role, kind, size of its vocabulary, missing share."""
    statistics = results.data.dataset.statistics["features"]
    rows: list[tuple[str, str, str, str, str]] = []
    for name, feature in results.data.schema.features.items():
        found = statistics.get(name, {})
        size = f"{found['vocabulary_size']:,}" if "vocabulary_size" in found else "–"
        missing = f"{found['missing_share']:.1%}" if "missing_share" in found else "–"
        rows.append((name, feature.role, "id" if getattr(feature, "id", False) else feature.kind, size, missing))
    return rows


def beyond_rows(results: JobResults) -> list[str]:
    """Features whose held-out values lie outside of what training has, in words."""
    return [str(found) for found in beyond_training(results.data, results.data.schema.encoded)]


def beyond_accuracy(results: JobResults) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Models, and each metric at 10 that is not of accuracy with the value of each model."""
    models: list[str | None] = [None, *results.baselines]
    parts = (key.split("/") for key in results.metrics if key.startswith(f"{MAIN_SET}/"))
    names = [part[1] for part in parts if len(part) == 2 and part[1].endswith("_at_10")]
    rows = [
        (metric_name(metric), [number(results.value(MAIN_SET, metric, name)) for name in models])
        for metric in names
        if metric.partition("_at_")[0] not in _ACCURACY
    ]
    return [results.label(name) for name in models], rows


def _day(ms: int | None) -> str:
    return "–" if ms is None else f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d}"
