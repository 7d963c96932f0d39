"""One job from config to metrics: build, train or fit, evaluate with the baseline beside it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from tfrec.dataset.batches import Batches
from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ArtifactError, ConfigError, did_you_mean
from tfrec.metrics import auc, log_loss, mean_absolute_error, root_mean_squared_error
from tfrec.models.base import FittedModel, GradientModel, RankingModel, Recommender, RetrievalModel
from tfrec.models.popularity import Popularity, PopularityConfig
from tfrec.models.registry import model_class
from trainer.config import JobConfig, load_job_config
from trainer.data import JobData, require_same_ids
from trainer.evaluation import KS, evaluate_ranking, evaluate_retrieval, means, ranking_scorer, retrieval_scorer
from trainer.fit import Trainer, restore_best
from trainer.job import JobDirectory
from trainer.progress import EpochProgress
from trainer.queries import RetrievalQueries, retrieval_queries

PROTOCOL = {
    "ranking": "full catalogue; items seen in earlier splits are excluded; ties go to the lower item index",
    "users": "every user of the split with an unseen item in it; metrics are means over users",
    "test": "the user tower reads the history up to the user's first test event",
    "test_training_history": "the user tower reads training events alone",
}


def make_deterministic(seed: int) -> None:
    """The same seed gives the same numbers on the same machine."""
    random.seed(seed)
    np.random.seed(seed)
    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def run_job(config: JobConfig, job: JobDirectory, console: Console) -> dict[str, Any]:
    """Train (or resume), evaluate, write metrics.json; return its content.

    Raises:
        ConfigError: the job directory holds another job.

    """
    _claim(config, job)
    make_deterministic(config.seed)
    data = JobData(DatasetDirectory(config.dataset))
    model = build_model(config, data)
    if isinstance(model, GradientModel):
        training = _train(model, config, data, job, console)
    else:
        assert isinstance(model, FittedModel)
        model.fit(data.model_inputs)
        training = {}
    metrics = evaluate_job(model, data)
    content = {**metrics, **{f"train/{k}": v for k, v in training.items()}, "protocol": PROTOCOL}
    job.write_metrics(content)
    print_metrics(console, config.model_name, metrics)
    return content


def build_model(config: JobConfig, data: JobData) -> Recommender:
    """The model of a config, with fresh weights."""
    build: Any = model_class(config.model_name)
    return _built(build, config, data)


def _built(build: Any, config: JobConfig, data: JobData) -> Recommender:
    if issubclass(build, GradientModel):
        model: Recommender = build(config.model, data.model_inputs, seed=config.seed)
    else:
        model = build(config.model, data.model_inputs)
    return model


def load_model(job: JobDirectory, dataset: str | None = None) -> tuple[Recommender, JobData, JobConfig]:
    """The trained model of a job, its dataset (or another one with the same ids) and its config.

    Raises:
        ArtifactError: no job, no dataset, or one of other features, vocabularies or items.

    """
    config = load_job_config(job.config)
    directory = DatasetDirectory(dataset or config.dataset)
    if directory.fingerprint != config.dataset_fingerprint:
        if dataset is None:
            raise ArtifactError(f"{directory.path}: changed since {job.path} was trained on it; train again")
        require_same_ids(DatasetDirectory(config.dataset), directory)
    data = JobData(directory)
    model = build_model(config, data)
    if isinstance(model, GradientModel):
        restore_best(model, job)
    else:
        assert isinstance(model, FittedModel)
        model.fit(data.model_inputs)
    if isinstance(model, RetrievalModel):
        model.refresh()
    return model, data, config


def _claim(config: JobConfig, job: JobDirectory) -> None:
    """A job directory belongs to one config, once an epoch is finished: another one would mix two runs."""
    if job.config.exists() and job.has_results:
        earlier = load_job_config(job.config)
        if earlier.dataset_fingerprint != config.dataset_fingerprint:
            raise ConfigError(f"--job-dir {job.path}: was trained on another dataset; name a new directory")
        ours, theirs = config.model_dump(serialize_as_any=True), earlier.model_dump(serialize_as_any=True)
        for key in ("model_name", "seed", "model", "train"):
            if ours[key] != theirs[key]:
                raise ConfigError(
                    f"--job-dir {job.path}: holds a job with another '{key}' ({theirs[key]}); name a new directory"
                )
    job.path.mkdir(parents=True, exist_ok=True)
    config.save(job.config)


def _train(
    model: GradientModel, config: JobConfig, data: JobData, job: JobDirectory, console: Console
) -> dict[str, Any]:
    columns = {name: data.train[name] for name in sorted(model.train_columns())}
    batches = Batches(columns, config.train.batch_size, config.seed)
    validation = _Validation(model, data)
    monitor = config.train.monitor or validation.default_monitor
    if monitor not in validation.names:
        raise ConfigError(f"train.monitor: no metric {monitor!r}{did_you_mean(monitor, validation.names)}")
    trainer = Trainer(model, batches, config.train, job, validation, monitor, EpochProgress(console))
    return trainer.run()


class _Validation:
    """Validation metrics of a model as it stands, called after every epoch."""

    def __init__(self, model: Any, data: JobData) -> None:
        self._model = model
        self._data = data
        if isinstance(model, RetrievalModel):
            self._queries = retrieval_queries(data, "validation", "at_event")
            self._scorer = retrieval_scorer(model)
            self.default_monitor = "ndcg_at_10"
            self.names = [f"{name}_at_{k}" for name in ("ndcg", "recall", "hit_rate", "mrr", "map") for k in KS]
            rows = len(self._queries.users)
        else:
            label = data.schema.label
            is_binary = label is not None and label.is_binary
            self.default_monitor = "log_loss" if is_binary else "rmse"
            self.names = ["auc", "log_loss"] if is_binary else ["rmse", "mae"]
            self._scorer = ranking_scorer(model)
            rows = len(data.validation["label"])
        if not rows:
            raise ConfigError(
                f"{data.dataset.path}: the validation split is empty, so no epoch can be chosen; "
                "give split.validation a share"
            )

    def __call__(self) -> dict[str, float]:
        if isinstance(self._model, RetrievalModel):
            self._model.refresh()
            return means(evaluate_retrieval(self._model, self._queries, self._scorer))
        return evaluate_ranking(self._model, self._data.validation, self._scorer)


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
    train, records = data.train, data.split(split)
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
