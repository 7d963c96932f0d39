"""Models → metrics, over the full catalogue and all users of a split: what is measured after every epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Arrays, Tensors
from tfrec.metrics import auc, log_loss, mean_absolute_error, ranking_metrics, root_mean_squared_error
from tfrec.models.base import RankingModel, RetrievalModel
from tfrec.schema import LABEL
from trainer.evaluation.lists import Scorer, ranked_chunks, retrieval_scorer
from trainer.evaluation.queries import RetrievalQueries

KS = (5, 10, 20, 50, 100)
BATCH = 1024
ROWS = 65_536


def evaluate_retrieval(
    model: RetrievalModel, queries: RetrievalQueries, scorer: Scorer | None = None
) -> dict[str, np.ndarray]:
    """Ranking metrics of each user, at every k of `KS`: name → float64 [users].

    Scores of seen items become −inf before the cut; ties are broken towards the lower item index.
    """
    chunks = ranked_chunks(model, queries, scorer or retrieval_scorer(model), length=max(KS), batch_size=BATCH)
    parts = [ranking_metrics(lists.hits, lists.relevant_counts, KS) for lists, _ in chunks]
    if not parts:
        return ranking_metrics(np.zeros((0, 1), bool), np.ones(0, int), KS)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def ranking_scorer(model: RankingModel) -> Callable[[Tensors], tf.Tensor]:
    """A compiled `model.logits`; keep it, so that it is traced once."""
    scorer: Scorer = tf.function(model.logits, reduce_retracing=True, autograph=False)
    return scorer


def predict(model: RankingModel, records: Arrays, scorer: Scorer) -> np.ndarray:
    """Logits of all rows, batch by batch. float32 [rows]"""
    parts = [np.zeros(0, np.float32)]
    for start in range(0, len(records[LABEL]), ROWS):
        batch = {name: tf.constant(records[name][start : start + ROWS]) for name in model.required_features}
        parts.append(scorer(batch).numpy())
    return np.concatenate(parts)


def evaluate_ranking(model: RankingModel, records: Arrays, scorer: Scorer | None = None) -> dict[str, float]:
    """AUC and log loss for a binary label; RMSE and MAE for a value."""
    logits, labels = predict(model, records, scorer or ranking_scorer(model)), records[LABEL]
    label = model.inputs.schema.label
    if label is not None and label.is_binary:
        return {"auc": auc(labels, logits), "log_loss": log_loss(labels, logits)}
    return {
        "rmse": root_mean_squared_error(labels, logits),
        "mae": mean_absolute_error(labels, logits),
    }


def means(per_user: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean over users; NaN where there are none, which is not the same as 0."""
    return {name: float(values.mean()) if len(values) else float("nan") for name, values in per_user.items()}
