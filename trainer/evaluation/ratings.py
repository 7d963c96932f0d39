"""A retrieval model that predicts ratings, judged by its errors on the events of a split."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Arrays, Tensors
from tfrec.metrics import mean_absolute_error, root_mean_squared_error
from tfrec.models.base import PredictsRatings, Recommender, RetrievalModel, rates
from tfrec.schema import ITEM_INDEX, LABEL
from trainer.data import JobData
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.events import SMOOTHING, SPLITS, event_metrics, item_mean, write_events

ERRORS = ("rmse", "mae")
ROWS = 65_536
BASELINE = "item_mean"
MEANING = (
    "rmse, mae, spearman, kendall: of the predicted rating of each event of the split, means over events, intervals by "
    f"bootstrap over users; beside them each item's mean training label with {SMOOTHING} events at the overall mean"
)

Scorer = Callable[[Tensors], tf.Tensor]


def rated_by(model: Recommender) -> PredictsRatings | None:
    """The model, where it predicts ratings of this dataset."""
    is_rating = rates(type(model), model.config, model.inputs.schema)
    return model if is_rating and isinstance(model, PredictsRatings) else None


def rating_scorer(model: PredictsRatings) -> Scorer:
    """A compiled `model.predicted_ratings`; keep it, so that it is traced once."""
    scorer: Scorer = tf.function(model.predicted_ratings, reduce_retracing=True, autograph=False)
    return scorer


def predict_ratings(model: Recommender, records: Arrays, scorer: Scorer) -> np.ndarray:
    """Predicted ratings of all events, batch by batch. float32 [rows]"""
    parts = [np.zeros(0, np.float32)]
    for start in range(0, len(records[LABEL]), ROWS):
        names = model.required_features | {ITEM_INDEX}
        parts.append(scorer({name: tf.constant(records[name][start : start + ROWS]) for name in names}).numpy())
    return np.concatenate(parts)


def rating_errors(model: Recommender, records: Arrays, scorer: Scorer) -> dict[str, float]:
    """RMSE and MAE alone: what is measured after every epoch."""
    predicted, labels = predict_ratings(model, records, scorer), records[LABEL]
    return {"rmse": root_mean_squared_error(labels, predicted), "mae": mean_absolute_error(labels, predicted)}


def evaluate_ratings(
    model: RetrievalModel, data: JobData, config: EvaluationConfig, predictions: Path | None = None
) -> dict[str, Any]:
    """Flat metrics of validation and test, and those of each item's mean; nothing where the model predicts no ratings.

    Args:
        model: trained and refreshed.
        data: of its job.
        config: the protocol.
        predictions: directory for the predictions, `<split>.ratings.parquet`; None to keep none.

    """
    rating = rated_by(model)
    if rating is None:
        return {}
    scorer = rating_scorer(rating)
    result: dict[str, Any] = {}
    for split in SPLITS:
        records = data.split(split)
        if not len(records[LABEL]):
            continue
        predicted = predict_ratings(model, records, scorer)
        for prefix, values in ((split, predicted), (f"{split}/{BASELINE}", item_mean(data, split))):
            found = event_metrics(data, config, records, values, has_intervals=prefix == split)
            result |= {f"{prefix}/{name}": value for name, value in found.items() if math.isfinite(value)}
        result[f"{split}/rows"] = len(predicted)
        if predictions is not None:
            write_events(predictions / f"{split}.ratings.parquet", records, predicted)
    return result
