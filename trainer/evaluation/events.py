"""All metrics of a model that ranks events, beside those of each item's mean label; its predictions, event by event."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tfrec.certainty import bootstrap_mean
from tfrec.dataset.records import Arrays
from tfrec.models.base import RankingModel
from tfrec.schema import EVENT_TIME_MS, ITEM_INDEX, LABEL, PROPENSITY, REQUEST_ID, USER_INDEX, WEIGHT
from trainer.data import JobData
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.event_metrics import binary_metrics, value_metrics
from trainer.evaluation.scores import predict, ranking_scorer

SPLITS = ("validation", "test")
KEPT = (USER_INDEX, ITEM_INDEX, LABEL, EVENT_TIME_MS, WEIGHT, PROPENSITY, REQUEST_ID)
PREDICTION = "prediction"  # logits of a binary label, values otherwise
SMOOTHING = 10  # events at the overall mean that every item starts with
PROTOCOL = {
    "ranking": "each event of the split is scored as it stands in the log; metrics are means over events",
    "intervals": "low and high: 95 %, bootstrap over users with all their events",
    "item_mean": f"each item's mean training label, with {SMOOTHING} events at the overall mean added",
}


def evaluate_ranking_job(
    model: RankingModel, data: JobData, config: EvaluationConfig, predictions: Path | None = None
) -> dict[str, Any]:
    """Flat metrics of validation and test, and the protocol in words.

    Args:
        model: trained.
        data: of its job.
        config: the protocol.
        predictions: directory for the predictions; None to keep none.

    """
    result: dict[str, Any] = {}
    scorer = ranking_scorer(model)
    for split in SPLITS:
        records = data.split(split)
        for baseline, predicted in ((None, predict(model, records, scorer)), ("item_mean", item_mean(data, split))):
            prefix = f"{split}/{baseline}" if baseline else split
            metrics = event_metrics(data, config, records, predicted, has_intervals=baseline is None)
            result |= {f"{prefix}/{name}": value for name, value in metrics.items() if math.isfinite(value)}
            if predictions is not None and len(predicted):
                write_events(predictions / f"{prefix.replace('/', '.')}.parquet", records, predicted)
        result[f"{split}/rows"] = len(records[LABEL])
    groups = {"user": "of one user", "request": "of one request"}[config.gauc_by]
    return {**result, "protocol": {**PROTOCOL, "gauc": f"compares events {groups}"}}


def event_metrics(
    data: JobData, config: EvaluationConfig, records: Arrays, predicted: np.ndarray, *, has_intervals: bool = False
) -> dict[str, float]:
    """Metrics of one split; NaN where one is not defined."""
    labels, users = records[LABEL], records[USER_INDEX]
    label = data.schema.label
    if label is None or not label.is_binary:
        found = value_metrics(labels, predicted)
        errors = np.stack([np.abs(predicted - labels), (predicted - labels) ** 2], axis=1)
        intervals = _intervals(users, errors, ("mae", "rmse")) if has_intervals else {}
        return found | {name: math.sqrt(v) if name.startswith("rmse") else v for name, v in intervals.items()}
    groups = users
    if config.gauc_by == "request":
        groups = np.unique(records[REQUEST_ID], return_inverse=True)[1]
    losses = np.logaddexp(0.0, predicted.astype(np.float64)) - labels * predicted.astype(np.float64)
    intervals = _intervals(users, losses[:, None], ("log_loss",)) if has_intervals else {}
    return binary_metrics(labels, predicted, groups) | intervals


def item_mean(data: JobData, split: str) -> np.ndarray:
    """What the plainest ranker predicts: each item's mean label in training, smoothed. float64 [rows]"""
    train, records = data.columns("train", (LABEL, ITEM_INDEX)), data.split(split)
    overall = float(train[LABEL].mean(dtype=np.float64))
    size = data.catalogue.size
    counts = np.bincount(train[ITEM_INDEX], minlength=size)
    sums = np.bincount(train[ITEM_INDEX], weights=train[LABEL], minlength=size)
    predicted: np.ndarray = ((sums + SMOOTHING * overall) / (counts + SMOOTHING))[records[ITEM_INDEX]]
    label = data.schema.label
    if label is None or not label.is_binary:
        return predicted
    odds = np.clip(predicted, 1e-6, 1 - 1e-6)
    return np.log(odds / (1 - odds))


def write_events(path: Path, records: Arrays, predicted: np.ndarray) -> None:
    """One row per event: the columns of `KEPT` that the records have, and `prediction`."""
    columns = {name: pa.array(records[name]) for name in KEPT if name in records}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    pq.write_table(pa.table({**columns, PREDICTION: pa.array(predicted.astype(np.float32))}), temporary)
    temporary.replace(path)


def _intervals(users: np.ndarray, values: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
    """Intervals of means over events, whole users drawn. `values` [rows, names]"""
    if not len(users):
        return {}
    owners, inverse, counts = np.unique(users, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(inverse, weights=column) for column in values.T], axis=1)
    found = bootstrap_mean(sums / counts[:, None], weights=counts.astype(np.float64), users=owners)
    ends = (("low", found.low), ("high", found.high))
    return {f"{name}/{end}": float(at[place]) for place, name in enumerate(names) for end, at in ends}
