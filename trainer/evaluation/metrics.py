"""All metrics of a trained model, with those of a baseline beside them: the content of metrics.json."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tfrec.metrics import auc, log_loss, mean_absolute_error, root_mean_squared_error
from tfrec.models.base import RankingModel, Recommender, RetrievalModel
from tfrec.models.popularity import Popularity, PopularityConfig
from trainer.data import JobData
from trainer.evaluation.queries import RetrievalQueries, retrieval_queries
from trainer.evaluation.scores import evaluate_ranking, evaluate_retrieval, means, ranking_scorer, retrieval_scorer

PROTOCOL = {
    "ranking": "full catalogue; items seen in earlier splits are excluded; ties go to the lower item index",
    "users": "every user of the split with an unseen item in it; metrics are means over users",
    "test": "the user tower reads the history up to the user's first test event",
    "test_training_history": "the user tower reads training events alone",
}


def evaluate_job(model: Recommender, data: JobData) -> dict[str, Any]:
    """Flat metrics of validation and test, the model's own and popularity's."""
    if isinstance(model, RankingModel):
        return _evaluate_ranking_job(model, data)
    assert isinstance(model, RetrievalModel)
    model.refresh()
    baseline = Popularity(PopularityConfig(), data.model_inputs)
    baseline.fit(data.model_inputs)
    result: dict[str, Any] = {}
    scorer, baseline_scorer = retrieval_scorer(model), retrieval_scorer(baseline)
    for split, queries in retrieval_splits(data).items():
        for prefix, found, score in (
            (split, model, scorer),
            (f"{split}/popularity", baseline, baseline_scorer),
        ):
            values = means(evaluate_retrieval(found, queries, score))
            result |= {f"{prefix}/{name}": value for name, value in values.items()}
        result[f"{split}/users"] = len(queries.users)
    return result


def retrieval_splits(data: JobData) -> dict[str, RetrievalQueries]:
    """Queries by the name under which their metrics stand."""
    queries = {"validation": retrieval_queries(data, "validation", "at_event")}
    queries["test"] = retrieval_queries(data, "test", "at_event")
    if data.schema.history is not None:
        queries["test_training_history"] = retrieval_queries(data, "test", "training")
    return queries


def _evaluate_ranking_job(model: RankingModel, data: JobData) -> dict[str, Any]:
    """AUC and log loss, or errors; beside them those of the item's mean training label."""
    result: dict[str, Any] = {}
    scorer = ranking_scorer(model)
    for split in ("validation", "test"):
        records = data.split(split)
        result |= {f"{split}/{name}": v for name, v in evaluate_ranking(model, records, scorer).items()}
        result |= {f"{split}/item_mean/{name}": v for name, v in item_mean_metrics(data, split).items()}
        result[f"{split}/rows"] = len(records["label"])
    return result


def item_mean_metrics(data: JobData, split: str) -> dict[str, float]:
    """The plainest ranker: each item's mean label in training, with 10 events at the overall mean added."""
    train, records = data.columns("train", ("label", "item_index")), data.split(split)
    overall = float(train["label"].mean())
    size = data.catalogue.size
    counts = np.bincount(train["item_index"], minlength=size)
    sums = np.bincount(train["item_index"], weights=train["label"], minlength=size)
    predicted = ((sums + 10 * overall) / (counts + 10))[records["item_index"]]
    label = data.schema.label
    if label is not None and label.is_binary:
        odds = np.clip(predicted, 1e-6, 1 - 1e-6)
        logits = np.log(odds / (1 - odds))
        return {"auc": auc(records["label"], logits), "log_loss": log_loss(records["label"], logits)}
    return {
        "rmse": root_mean_squared_error(records["label"], predicted),
        "mae": mean_absolute_error(records["label"], predicted),
    }


def print_metrics(console: Console, name: str, metrics: dict[str, Any]) -> None:
    """The metrics that people compare first, with the baseline beside them."""
    baseline = "popularity" if any("/popularity/" in key for key in metrics) else "item_mean"
    shown = (
        "ndcg_at_10",
        "recall_at_10",
        "hit_rate_at_10",
        "mrr_at_10",
        "map_at_10",
        "auc",
        "log_loss",
        "rmse",
        "mae",
    )
    table = Table("split", "metric", name, baseline)
    for split in ("validation", "test", "test_training_history"):
        for metric in shown:
            if f"{split}/{metric}" in metrics:
                other = metrics.get(f"{split}/{baseline}/{metric}", float("nan"))
                table.add_row(split, metric, f"{metrics[f'{split}/{metric}']:.4f}", f"{other:.4f}")
    console.print(table)
