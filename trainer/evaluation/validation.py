"""What is measured after every epoch, and which of it decides."""

from __future__ import annotations

from typing import Any

from tfrec.errors import ConfigError, did_you_mean
from tfrec.metrics import ranking_metric_names
from tfrec.models.base import RetrievalModel
from trainer.data import JobData
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.lists import retrieval_scorer
from trainer.evaluation.query_sets import validation_set
from trainer.evaluation.scores import KS, evaluate_ranking, evaluate_retrieval, means, ranking_scorer


class Validation:
    """Validation metrics of a model as it stands, called after every epoch."""

    def __init__(self, model: Any, data: JobData, evaluation: EvaluationConfig | None = None) -> None:
        """Collect the queries, by the protocol that says what is excluded and folded in; the usual one by default."""
        self._model = model
        self._data = data
        if isinstance(model, RetrievalModel):
            self._queries = validation_set(data, evaluation or EvaluationConfig()).queries
            self._scorer = retrieval_scorer(model)
            self.default_monitor = "ndcg_at_10"
            self.names = list(ranking_metric_names(KS))
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
                "give split.validation a share, or name --eval-files"
            )

    def __call__(self) -> dict[str, float]:
        if isinstance(self._model, RetrievalModel):
            self._model.refresh()
            return means(evaluate_retrieval(self._model, self._queries, self._scorer))
        return evaluate_ranking(self._model, self._data.validation, self._scorer)


def monitor_of(validation: Validation, wanted: str | None) -> str:
    """The metric that decides: the wanted one, else the usual one. Raises ConfigError if there is no such metric."""
    monitor = wanted or validation.default_monitor
    if monitor not in validation.names:
        raise ConfigError(f"train.monitor: no metric {monitor!r}{did_you_mean(monitor, validation.names)}")
    return monitor
