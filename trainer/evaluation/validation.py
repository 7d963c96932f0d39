"""What is measured after every epoch, and which of it decides."""

from __future__ import annotations

from typing import Any

from tfrec.errors import ConfigError, did_you_mean
from tfrec.metrics import ranking_metric_names
from tfrec.models.base import ModelConfig, Recommender, RetrievalModel, chosen, rates
from tfrec.schema import Schema
from trainer.data import JobData
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.lists import retrieval_scorer
from trainer.evaluation.query_sets import validation_set
from trainer.evaluation.ratings import ERRORS, rated_by, rating_errors, rating_scorer
from trainer.evaluation.scores import (
    KS,
    TASK_LOSS,
    evaluate_ranking,
    evaluate_retrieval,
    means,
    ranking_scorer,
    task_loss,
    task_scorer,
)
from trainer.evaluation.unvalidated import Unvalidated


class Validation:
    """Validation metrics of a model as it stands, called after every epoch."""

    def __init__(self, model: Any, data: JobData, evaluation: EvaluationConfig | None = None) -> None:
        """Collect the queries, by the protocol that says what is excluded and folded in; the usual one by default."""
        self._model = model
        self._data = data
        self.default_monitor, *_ = self.names = monitors(type(model), model.config, data.schema)
        if isinstance(model, RetrievalModel):
            self._queries = validation_set(data, evaluation or EvaluationConfig()).queries
            self._scorer = retrieval_scorer(model)
            rows = len(self._queries.users)
            rating = rated_by(model)
            self._rating_scorer = None if rating is None else rating_scorer(rating)
        else:
            self._scorer, self._task_scorer = ranking_scorer(model), task_scorer(model)
            rows = len(data.validation["label"])
        if not rows:
            raise ConfigError(
                f"{data.dataset.path}: the validation split is empty, so no epoch can be chosen; "
                "give split.validation a share, or name --eval-files"
            )

    def __call__(self) -> dict[str, float]:
        if isinstance(self._model, RetrievalModel):
            self._model.refresh()
            found = means(evaluate_retrieval(self._model, self._queries, self._scorer))
            if self._rating_scorer is not None:
                found |= rating_errors(self._model, self._data.validation, self._rating_scorer)
            return found
        records = self._data.validation
        found = evaluate_ranking(self._model, records, self._scorer)
        return found | task_loss(self._model, records, self._task_scorer)


def monitors(model: type[Recommender], config: ModelConfig, schema: Schema) -> list[str]:
    """Metrics that can decide; the first one does unless another is asked for."""
    if model.task == "retrieval":
        names = ["ndcg_at_10", *(name for name in ranking_metric_names(KS) if name != "ndcg_at_10")]
        names += ERRORS if rates(model, config, schema) else ()
    else:
        is_binary = schema.label is not None and schema.label.is_binary
        if chosen(model, "learns_probabilities", config):
            names = ["log_loss", "auc"] if is_binary else [*ERRORS]
        else:
            names = ["auc" if is_binary else "spearman"]
        if getattr(model, "has_task_loss", False):
            names = [TASK_LOSS, *names]
    preferred = chosen(model, "preferred_monitor", config)
    return sorted(names, key=lambda name: name != preferred)


def require_monitor(wanted: str | None, names: list[str]) -> None:
    """Raise ConfigError if there is no such metric."""
    if wanted is not None and wanted not in names:
        raise ConfigError(f"train.monitor: no metric {wanted!r}{did_you_mean(wanted, names)}")


def monitor_of(validation: Validation | Unvalidated, wanted: str | None) -> str:
    """The metric that decides: the wanted one, else the usual one. Raises ConfigError if there is no such metric."""
    require_monitor(wanted, [*validation.names])
    return wanted or validation.default_monitor
