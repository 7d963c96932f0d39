"""All metrics of a trained model, with those of the baselines beside them: the content of metrics.json."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfrec.models.base import RankingModel, Recommender, RetrievalModel
from trainer.data import JobData
from trainer.evaluation.choices import open_choices
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.costs import MEANING, costs
from trainer.evaluation.events import evaluate_ranking_job
from trainer.evaluation.next_context import MEANING as NEXT_CONTEXT
from trainer.evaluation.next_context import evaluate_next_context
from trainer.evaluation.protocol import require_protocol
from trainer.evaluation.ratings import MEANING as RATINGS
from trainer.evaluation.ratings import evaluate_ratings
from trainer.evaluation.retrieval import evaluate_retrieval_job
from trainer.job import JobDirectory


def evaluate_job(
    model: Recommender,
    data: JobData,
    config: EvaluationConfig | None = None,
    output: JobDirectory | None = None,
    *,
    choices: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Flat metrics of every query set, the model's own and the baselines', costs, and the protocol in words.

    Args:
        model: trained.
        data: of its job.
        config: how to evaluate; as usual by default.
        output: where predictions and the baselines' settings are kept; nowhere by default.
        choices: file of the baselines' settings where they were chosen before; that of `output` by default.
        say: hears of what takes long, a line at a time.

    Raises:
        ConfigError: the protocol does not go with the model or the dataset, or `baselines_from` with either.
        DataError: there is nothing to evaluate on.

    """
    config = config or EvaluationConfig()
    require_protocol(config, model.task, data.dataset)
    predictions = output.predictions if output is not None else None
    if isinstance(model, RetrievalModel):
        write_to = output.baselines if output is not None else None
        store = open_choices(choices or write_to, write_to, data.dataset, config)
        found = evaluate_retrieval_job(model, data, config, predictions, store, say)
        if ratings := evaluate_ratings(model, data, config, predictions):
            found = {**found, **ratings, "protocol": {**found["protocol"], "ratings": RATINGS}}
        if foreseen := evaluate_next_context(model, data):
            found = {**found, **foreseen, "protocol": {**found["protocol"], "next context": NEXT_CONTEXT}}
    else:
        assert isinstance(model, RankingModel)
        found = evaluate_ranking_job(model, data, config, predictions)
    protocol = {**found.pop("protocol"), "cost": MEANING}
    return {**found, **{f"cost/{name}": value for name, value in costs(model, data).items()}, "protocol": protocol}
