"""What a recommender learns from its own log: which impressions, how much each counts, and the scores of that."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from tfrec.config_file import Config
from tfrec.simulation.learner import LearnerConfig, fit_scores
from tfrec.simulation.log import ImpressionLog
from tfrec.simulation.state import Requests
from tfrec.simulation.value import Scorer


class TrainingConfig(Config):
    """Which part of its own log a recommender learns from, and which part its offline metric is computed on."""

    rows: Literal["all", "random"] = Field("all", description="all traffic, or only what was drawn at random")
    weights: Literal["none", "inverse_propensity"] = Field("none", description="of training and of the offline metric")
    max_weight: float = Field(30.0, ge=1, description="clip of a weight, as a multiple of the smallest")
    validation_rows: Literal["all", "random"] = Field(
        "all", description="traffic that the offline metric is computed on"
    )
    validation_visits: int = Field(2, ge=1, description="last moments of a round, which come after training")
    learner: LearnerConfig = LearnerConfig()


def training_rows(config: TrainingConfig, log: ImpressionLog) -> ImpressionLog:
    """What is learnt from."""
    return log.of(log.is_random) if config.rows == "random" else log


def validation_rows(config: TrainingConfig, log: ImpressionLog) -> np.ndarray:
    """Which impressions the offline metric is computed on. bool [impressions]"""
    return log.is_random if config.validation_rows == "random" else np.ones(len(log), bool)


def weights(config: TrainingConfig, log: ImpressionLog) -> np.ndarray:
    """Of each impression, of mean 1: even, or min(1 / p, clip) with p the probability of being in the slate.

    Weighted so, clicks on what is rarely shown count as if all were shown alike (Saito et al. 2020). Examination by
    position stays in: positions are assigned by rank within the slate, whatever the weights.
    """
    if config.weights == "none" or not len(log):
        return np.ones(len(log))
    inverse = log.propensity_in_slate.max() / log.propensity_in_slate
    clipped = np.minimum(inverse, config.max_weight)
    return np.asarray(clipped / clipped.mean())


def learnt_scorer(config: TrainingConfig, rows: ImpressionLog, num_users: int, num_items: int) -> Scorer:
    """Train on these rows. The scorer knows users by id, newcomers as the mean of the others, and no contexts."""
    shape = (num_users + 1, num_items)  # the last row is that of newcomers
    table = fit_scores(config.learner, rows.user, rows.item, rows.clicked, weights(config, rows), shape)
    return table_scorer(table)


def popularity_scorer(config: TrainingConfig, rows: ImpressionLog, num_items: int) -> Scorer:
    """Weighted clicks of each item, for everybody."""
    counted = weights(config, rows)
    return table_scorer(np.bincount(rows.item, counted * rows.clicked, minlength=num_items)[None])


def table_scorer(table: np.ndarray) -> Scorer:
    """Scores from a table, float64 [users, items]: row `id` of each user; ids past the end have the last row."""

    def score(requests: Requests) -> np.ndarray:
        return np.asarray(table[np.minimum(requests.user_ids, len(table) - 1)])

    return score
