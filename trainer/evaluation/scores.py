"""Models → metrics, over the full catalogue and all users of a split."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Arrays, Tensors
from tfrec.metrics import auc, log_loss, mean_absolute_error, ranking_metrics, root_mean_squared_error
from tfrec.models.base import RankingModel, RetrievalModel
from tfrec.schema import LABEL
from trainer.evaluation.queries import RetrievalQueries

KS = (5, 10, 20, 50, 100)
BATCH = 1024
ROWS = 65_536


def retrieval_scorer(model: RetrievalModel) -> Callable[[Tensors], tf.Tensor]:
    """A compiled `model.scores`; keep it, so that it is traced once."""
    return tf.function(model.scores, reduce_retracing=True)


def evaluate_retrieval(
    model: RetrievalModel,
    queries: RetrievalQueries,
    scorer: Callable[[Tensors], tf.Tensor] | None = None,
) -> dict[str, np.ndarray]:
    """Ranking metrics of each user, at every k of `KS`: name → float64 [users].

    Scores of seen items become −inf before the cut; ties are broken towards the lower item index.
    """
    score = scorer or retrieval_scorer(model)
    top = min(max(KS), queries.seen.num_items)
    wanted = np.sort(queries.relevant_rows * queries.seen.num_items + queries.relevant_items)
    hits = []
    for start in range(0, len(queries.users), BATCH):
        users = queries.users[start : start + BATCH]
        batch = {name: tf.constant(queries.features[name][start : start + BATCH]) for name in model.required_features}
        rows, items = queries.seen.pairs_of(users)
        listed = _top_unseen(score(batch), tf.constant(np.stack([rows, items], axis=1)), top).numpy()
        keys = (np.arange(start, start + len(users))[:, None]) * queries.seen.num_items + listed
        found = np.minimum(np.searchsorted(wanted, keys), max(len(wanted) - 1, 0))
        hits.append(wanted[found] == keys)
    if not hits:
        return {name: np.zeros(0) for name in ranking_metrics(np.zeros((0, 1), bool), np.ones(0, int), KS)}
    return ranking_metrics(np.concatenate(hits), queries.relevant_counts, KS)


@tf.function(reduce_retracing=True)
def _top_unseen(scores: tf.Tensor, seen: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
    lowest = tf.fill([tf.shape(seen)[0]], -float("inf"))
    return tf.math.top_k(tf.tensor_scatter_nd_update(scores, seen, lowest), k).indices


def ranking_scorer(model: RankingModel) -> Callable[[Tensors], tf.Tensor]:
    """A compiled `model.logits`; keep it, so that it is traced once."""
    return tf.function(model.logits, reduce_retracing=True)


def evaluate_ranking(
    model: RankingModel, records: Arrays, scorer: Callable[[Tensors], tf.Tensor] | None = None
) -> dict[str, float]:
    """AUC and log loss for a binary label; RMSE and MAE for a value."""
    predict = scorer or ranking_scorer(model)
    parts = []
    for start in range(0, len(records[LABEL]), ROWS):
        batch = {name: tf.constant(records[name][start : start + ROWS]) for name in model.required_features}
        parts.append(predict(batch).numpy())
    logits = np.concatenate(parts) if parts else np.zeros(0)
    labels = records[LABEL]
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
