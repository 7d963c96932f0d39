"""All metrics of a model that ranks events, beside those of each item's mean label; its predictions, event by event."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.special
import tensorflow as tf

from tfrec.certainty import bootstrap_mean
from tfrec.dataset.records import Arrays
from tfrec.metrics import auc, log_losses
from tfrec.models.base import RankingModel, TaskLabels
from tfrec.schema import EVENT_TIME_MS, ITEM_INDEX, LABEL, PROPENSITY, REQUEST_ID, USER_INDEX, WEIGHT
from trainer.data import JobData
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.event_metrics import (
    binary_metrics,
    order_metrics,
    probabilities,
    probability_metrics,
    request_groups,
    request_metrics,
    value_metrics,
    worst_biases,
)
from trainer.evaluation.event_slices import event_slices
from trainer.evaluation.scores import predict, predict_all, ranking_scorer

SPLITS = ("validation", "test")
KEPT = (USER_INDEX, ITEM_INDEX, LABEL, EVENT_TIME_MS, WEIGHT, PROPENSITY, REQUEST_ID)
PREDICTION = "prediction"  # logits of a binary label, values otherwise
SMOOTHING = 10  # events at the overall mean that every item starts with
PROTOCOL = {
    "ranking": "each event of the split is scored as it stands in the log; metrics are means over events",
    "intervals": "low and high: 95 %, bootstrap over users with all their events",
    "item_mean": f"each item's mean training label, with {SMOOTHING} events of mean weight at the overall mean added",
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
    of_tasks = tf.function(model.task_predictions, reduce_retracing=True, autograph=False)
    for split in SPLITS:
        records = data.split(split)
        weights = model.metric_weights(records)
        for baseline, predicted in ((None, predict(model, records, scorer)), ("item_mean", item_mean(data, split))):
            prefix = f"{split}/{baseline}" if baseline else split
            metrics = event_metrics(
                data,
                config,
                records,
                predicted,
                weights,
                has_intervals=baseline is None,
                predicts_labels=model.predicts_labels,
            )
            if baseline is None:
                metrics |= task_metrics(model.task_labels(records), predict_all(model, records, of_tasks))
            result |= {f"{prefix}/{name}": value for name, value in metrics.items() if math.isfinite(value)}
            if predictions is not None and len(predicted):
                judged = records if weights is None else {**records, WEIGHT: weights}
                write_events(predictions / f"{prefix.replace('/', '.')}.parquet", judged, predicted)
        result[f"{split}/rows"] = len(records[LABEL])
    return {**result, "protocol": protocol(model, data, config)}


def protocol(model: RankingModel, data: JobData, config: EvaluationConfig) -> dict[str, str]:
    """What was done, in words."""
    groups = {"user": "of one user", "request": "of one request"}[config.gauc_by]
    said = {**PROTOCOL, "gauc": f"compares events {groups}"}
    if data.schema.weight is not None:
        said["weights"] = "each event counts by its weight; in spearman, kendall and request_ndcg all count alike"
    if data.schema.request is not None:
        said["request_ndcg"] = (
            "mean over the requests with a label above 0; equal predictions share their places, events without a "
            "request id are left out"
        )
    if model.calibration is not None:
        said["calibration"] = f"{model.calibration.name}, fitted on validation: there its metrics flatter"
    if model.logit_shift:
        said["correction"] = (
            f"{model.logit_shift:+.4f} is added to the logits, for what training left out or weighed up"
        )
    return said


def event_metrics(
    data: JobData,
    config: EvaluationConfig,
    records: Arrays,
    predicted: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    has_intervals: bool = False,
    predicts_labels: bool = True,
) -> dict[str, float]:
    """Metrics of one split; NaN where one is not defined.

    Args:
        data: of the job.
        config: the protocol.
        records: of the split.
        predicted: logits for a binary label, values otherwise. [rows]
        weights: of the events; 1 each by default. [rows]
        has_intervals: whether to say how sure the means are.
        predicts_labels: whether predictions are the label's probability or value; else their order alone is judged.

    """
    labels, users = records[LABEL], records[USER_INDEX]
    label = data.schema.label
    requests = None if data.schema.request is None else request_groups(records[REQUEST_ID])
    of_requests = {} if requests is None else request_metrics(labels, predicted, requests, config.ks)
    if label is None or not label.is_binary:
        if not predicts_labels:
            return order_metrics(labels, predicted) | of_requests
        errors = np.stack([np.abs(predicted - labels), (predicted - labels) ** 2], axis=1)
        intervals = _intervals(users, errors, weights, ("mae", "rmse")) if has_intervals else {}
        found = value_metrics(labels, predicted, weights) | of_requests
        found |= worst_biases(labels, predicted, event_slices(data, records), weights)
        return found | {name: math.sqrt(v) if name.startswith("rmse") else v for name, v in intervals.items()}
    groups = users
    if config.gauc_by == "request":
        assert requests is not None  # the protocol was checked
        groups = requests
    found = binary_metrics(labels, predicted, groups, weights, has_probabilities=predicts_labels) | of_requests
    if not predicts_labels:
        return found
    found |= worst_biases(labels, probabilities(predicted), event_slices(data, records), weights)
    losses = log_losses(labels, predicted)
    return found | (_intervals(users, losses[:, None], weights, ("log_loss",)) if has_intervals else {})


def task_metrics(tasks: dict[str, TaskLabels], predicted: dict[str, np.ndarray]) -> dict[str, float]:
    """Metrics of each further prediction over the events that say something of it: `<task>_<metric>`."""
    found: dict[str, float] = {}
    for name, values in predicted.items():
        known = ~np.isnan(tasks[name].labels)
        labels, of_task = tasks[name].labels[known], values[known]
        weights = tasks[name].weights
        weight = None if weights is None else weights[known]
        if tasks[name].is_binary:
            logits = scipy.special.logit(np.clip(of_task.astype(np.float64), 1e-12, 1 - 1e-12))
            metrics = {"auc": auc(labels, logits, weight), **probability_metrics(labels, logits, weight)}
        else:
            metrics = value_metrics(labels, of_task, weight)
        found |= {f"{name}_{metric}": value for metric, value in metrics.items()}
    return found


def item_mean(data: JobData, split: str) -> np.ndarray:
    """What the plainest ranker predicts: each item's mean training label by weight, smoothed. float64 [rows]

    Where only a share of the negatives was kept for training, each of them stands for those that were not.
    """
    schema, label = data.schema, data.schema.label
    train = data.columns("train", (LABEL, ITEM_INDEX, *([WEIGHT] if schema.weight is not None else [])))
    weights = train.get(WEIGHT, np.ones_like(train[LABEL])).astype(np.float64)
    smoothing = SMOOTHING * (float(weights.mean()) if weights.any() else 1.0)  # in whatever unit weights are
    is_binary = label is not None and label.is_binary
    if is_binary and schema.kept_negatives is not None:
        weights = np.where(train[LABEL] == 0, weights / schema.kept_negatives, weights)
    records, size = data.split(split), data.catalogue.size
    counts = np.bincount(train[ITEM_INDEX], weights=weights, minlength=size)
    sums = np.bincount(train[ITEM_INDEX], weights=weights * train[LABEL], minlength=size)
    overall = float(sums.sum() / counts.sum()) if counts.sum() else 0.0
    predicted: np.ndarray = ((sums + smoothing * overall) / (counts + smoothing))[records[ITEM_INDEX]]
    if not is_binary:
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


def _intervals(
    users: np.ndarray, values: np.ndarray, weights: np.ndarray | None, names: tuple[str, ...]
) -> dict[str, float]:
    """Intervals of means over events by weight, whole users drawn. `values` [rows, names]"""
    weight = np.ones(len(users)) if weights is None else weights.astype(np.float64)
    owners, inverse = np.unique(users[weight > 0], return_inverse=True)
    if not len(owners):
        return {}
    totals = np.bincount(inverse, weights=weight[weight > 0])
    weighted = (values * weight[:, None])[weight > 0]
    sums = np.stack([np.bincount(inverse, weights=column) for column in weighted.T], axis=1)
    found = bootstrap_mean(sums / totals[:, None], weights=totals, users=owners)
    ends = (("low", found.low), ("high", found.high))
    return {f"{name}/{end}": float(at[place]) for place, name in enumerate(names) for end, at in ends}
