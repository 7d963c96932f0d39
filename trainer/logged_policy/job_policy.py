"""A trained job as the target policy: the probability with which it would have taken each logged action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import tensorflow as tf
from scipy.special import expit

from tfrec.dataset.records import Arrays
from tfrec.errors import ConfigError, DataError
from tfrec.models.base import RankingModel, Recommender, RetrievalModel
from tfrec.models.registry import model_class
from tfrec.schema import ITEM_INDEX
from trainer.config import JobConfig
from trainer.data import JobData
from trainer.evaluation.scores import ranking_scorer, retrieval_scorer
from trainer.logged_policy.choice import Choice

Candidates = Literal["catalogue", "request"]
BATCH = 1024  # users scored at once
PAIRS = 65_536  # user-item pairs scored at once
NO_REQUESTS = "--candidates request: a retrieval model chooses from the catalogue; leave the flag out"
NAME_REQUESTS = (
    "a ranking model chooses among the items of a request, and the log has no request ids: add 'request: {column: …}' "
    "to dataset.yaml (or --request COLUMN), or choose from all items: --candidates catalogue"
)


@dataclass(frozen=True)
class TargetPolicy:
    """What a job would have done, row by row.

    Attributes:
        probabilities: π(a_i|x_i). float [rows]
        logged_predictions, target_predictions: the job as a reward model, q̂(x_i, a_i) and Σ_a π(a|x_i) q̂(x_i, a);
            None for retrieval, whose scores are no rewards. float [rows]

    """

    probabilities: np.ndarray
    logged_predictions: np.ndarray | None = None
    target_predictions: np.ndarray | None = None


def default_candidates(model: Recommender) -> Candidates:
    return "request" if isinstance(model, RankingModel) else "catalogue"


def require_candidates(config: JobConfig, wanted: Candidates | None, log: str | None, request: str | None) -> None:
    """Refuse, before a model or a log is read, candidates that this kind of model or the flags do not have.

    Raises:
        ConfigError: a retrieval model among a request's items, or a log file of requests that no flag names.

    """
    if model_class(config.model_name).task == "retrieval":
        if wanted == "request":
            raise ConfigError(NO_REQUESTS)
    elif wanted != "catalogue" and log is not None and request is None:
        raise ConfigError(NAME_REQUESTS)


def target_policy(
    model: Recommender,
    data: JobData,
    records: Arrays,
    choice: Choice,
    candidates: Candidates,
    requests: np.ndarray | None,
) -> TargetPolicy:
    """The policy's probabilities on these rows.

    Args:
        model: of the job.
        data: of its dataset.
        records: encoded features and `item_index` of each row, [rows] or [rows, width].
        choice: by what rule the scores choose.
        candidates: among what: all items, or those that the rows of the row's request hold.
        requests: an integer from 0 per row, of its request. int [rows]

    Raises:
        ConfigError: a retrieval model among a request's items, or no request ids.
        DataError: every request has one row, so there is nothing to choose from.

    """
    if isinstance(model, RetrievalModel):
        if candidates != "catalogue":
            raise ConfigError(NO_REQUESTS)
        return TargetPolicy(_retrieval_probabilities(model, records, choice))
    assert isinstance(model, RankingModel)
    if candidates == "catalogue":
        return _ranking_over_catalogue(model, data, records, choice)
    if requests is None:
        raise ConfigError(NAME_REQUESTS)
    if np.bincount(requests).max() == 1:
        raise DataError(
            "every request has one row, so there is nothing to choose from; log all rows of a request, or choose from "
            "all items: --candidates catalogue"
        )
    scores = _scores_of_rows(model, records)
    rewards = _as_reward(model, scores)
    probabilities = choice.of_groups(scores, requests)
    return TargetPolicy(probabilities, rewards, np.bincount(requests, weights=probabilities * rewards)[requests])


def _retrieval_probabilities(model: RetrievalModel, records: Arrays, choice: Choice) -> np.ndarray:
    score, items = retrieval_scorer(model), records[ITEM_INDEX]
    parts = [np.zeros(0)]
    for start in range(0, len(items), BATCH):
        batch = {name: tf.constant(records[name][start : start + BATCH]) for name in model.required_features}
        probabilities = choice.of_rows(score(batch).numpy())
        parts.append(np.take_along_axis(probabilities, items[start : start + BATCH, None], axis=1)[:, 0])
    return np.concatenate(parts)


def _ranking_over_catalogue(model: RankingModel, data: JobData, records: Arrays, choice: Choice) -> TargetPolicy:
    """Each row's user and context with every item of the catalogue in turn."""
    score, items, size = ranking_scorer(model), records[ITEM_INDEX], data.catalogue.size
    of_items = {**data.catalogue.features, ITEM_INDEX: np.arange(size)}
    step = max(1, PAIRS // size)
    parts = []
    for start in range(0, len(items), step):
        rows = np.arange(start, min(start + step, len(items)))
        batch = {}
        for name in model.required_features:
            if name in of_items:
                batch[name] = np.tile(of_items[name], (len(rows), *[1] * (of_items[name].ndim - 1)))
            else:
                batch[name] = np.repeat(records[name][rows], size, axis=0)
        scores = score({name: tf.constant(values) for name, values in batch.items()}).numpy()
        scores = scores.reshape(len(rows), size)
        probabilities, rewards = choice.of_rows(scores), _as_reward(model, scores)
        taken = (np.arange(len(rows)), items[rows])
        parts.append((probabilities[taken], rewards[taken], (probabilities * rewards).sum(axis=1)))
    found = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return TargetPolicy(found[0], found[1], found[2])


def _scores_of_rows(model: RankingModel, records: Arrays) -> np.ndarray:
    score, rows = ranking_scorer(model), len(records[ITEM_INDEX])
    parts = []
    for start in range(0, rows, PAIRS):
        batch = {name: tf.constant(records[name][start : start + PAIRS]) for name in model.required_features}
        parts.append(score(batch).numpy())
    return np.concatenate(parts)


def _as_reward(model: RankingModel, scores: np.ndarray) -> np.ndarray:
    """`model.predictions` from its logits."""
    label = model.inputs.schema.label
    scores = scores.astype(np.float64)
    rewards: np.ndarray = expit(scores) if label is not None and label.is_binary else scores
    return rewards
