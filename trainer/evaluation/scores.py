"""Models → metrics, over the full catalogue and all users of a split: what is measured after every epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Arrays, Tensors
from tfrec.metrics import auc, log_loss, mean_absolute_error, ranking_metrics, root_mean_squared_error, spearman
from tfrec.models.base import RankingModel, RetrievalModel
from tfrec.schema import LABEL
from trainer.evaluation.lists import Scorer, ranked_chunks, retrieval_scorer
from trainer.evaluation.queries import RetrievalQueries

TaskScorer = Callable[[Tensors], dict[str, tf.Tensor]]
TASK_LOSS = "task_loss"
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


def ranking_scorer(model: RankingModel) -> Scorer:
    """A compiled `model.served_logits`; keep it, so that it is traced once."""
    return scorer_of(model.served_logits)


def scorer_of(logits: Scorer) -> Scorer:
    """A compiled function of encoded features."""
    compiled: Scorer = tf.function(logits, reduce_retracing=True, autograph=False)
    return compiled


def predict(model: RankingModel, records: Arrays, scorer: Scorer) -> np.ndarray:
    """Logits of all rows, batch by batch. float32 [rows]"""
    return predict_all(model, records, lambda batch: {"": scorer(batch)}).get("", np.zeros(0, np.float32))


def predict_all(model: RankingModel, records: Arrays, scorer: TaskScorer) -> dict[str, np.ndarray]:
    """Several numbers of all rows, batch by batch; nothing where there are no rows. float32 [rows] each"""
    parts: list[dict[str, tf.Tensor]] = []
    for start in range(0, len(records[LABEL]), ROWS):
        batch = {name: tf.constant(records[name][start : start + ROWS]) for name in model.required_features}
        parts.append(scorer(batch))
    return {name: np.concatenate([part[name].numpy() for part in parts]) for name in (parts[0] if parts else ())}


def task_scorer(model: RankingModel) -> TaskScorer | None:
    """A compiled `model.task_predictions` of a model that is judged by them; keep it, so that it is traced once."""
    if not model.has_task_loss:
        return None
    compiled: TaskScorer = tf.function(model.task_predictions, reduce_retracing=True, autograph=False)
    return compiled


def task_loss(model: RankingModel, records: Arrays, scorer: TaskScorer | None) -> dict[str, float]:
    """The loss of all tasks together; nothing for a model that is not judged by it."""
    found = None if scorer is None else model.task_loss(records, predict_all(model, records, scorer))
    return {} if found is None else {TASK_LOSS: found}


def evaluate_ranking(model: RankingModel, records: Arrays, scorer: Scorer | None = None) -> dict[str, float]:
    """AUC and log loss for a binary label, RMSE and MAE for a value; of what only orders rows, AUC or Spearman's ρ.

    Rows count by their weights where the log has them, but for ρ.
    """
    logits, labels = predict(model, records, scorer or ranking_scorer(model)), records[LABEL]
    weights = model.metric_weights(records)
    if model.has_binary_label:
        found = {"auc": auc(labels, logits, weights)}
        return found | ({"log_loss": log_loss(labels, logits, weights)} if model.learns_probabilities else {})
    if not model.learns_probabilities:
        return {"spearman": spearman(labels, logits)}
    return {
        "rmse": root_mean_squared_error(labels, logits, weights),
        "mae": mean_absolute_error(labels, logits, weights),
    }


def means(per_user: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean over users; NaN where there are none, which is not the same as 0."""
    return {name: float(values.mean()) if len(values) else float("nan") for name, values in per_user.items()}
