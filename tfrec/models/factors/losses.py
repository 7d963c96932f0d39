"""From the scores of a row's items to its loss: what each name of `loss` of a matrix factorisation means."""

from __future__ import annotations

from typing import Literal

import tensorflow as tf
from pydantic import Field

from tfrec.losses import bpr, gbce, gbce_beta, hinge, squared, warp, weighted_logistic
from tfrec.losses.pairwise import mean_of_negatives
from tfrec.models.base import ModelConfig

RowLoss = Literal["squared", "logistic", "bpr", "warp", "hinge", "gbce"]


class FactorLossConfig(ModelConfig):
    """Choices of the losses over negatives that are drawn for each row."""

    negatives_per_row: int = Field(
        4, ge=1, description="items drawn for each event; warp: the most trials. Not for ratings, nor for softmax"
    )
    negative_alpha: float = Field(
        0.5,
        ge=0,
        le=2,
        description="these are drawn in proportion to (their events)^alpha; 0: all alike, as warp takes for granted",
    )
    margin: float = Field(1.0, gt=0, description="hinge, warp: by which the positive should lead")
    positive_weight: float = Field(
        1.0, gt=0, description="logistic: α, how much an event counts beside the drawn negatives (Johnson 2014)"
    )
    calibration: float = Field(
        0.75, ge=0, le=1, description="gbce: t; 0 is plain cross-entropy, 1 gives calibrated probabilities"
    )


def implicit_losses(
    name: str, config: FactorLossConfig, scores: tf.Tensor, is_negative: tf.Tensor, num_items: int
) -> tf.Tensor:
    """Losses of rows whose first item was taken and whose others were drawn.

    Args:
        name: of the loss.
        config: of the losses.
        scores: float32 [batch, 1 + n].
        is_negative: of the n drawn items. bool [batch, n]
        num_items: size of the catalogue.

    Returns:
        float32 [batch].

    """
    positive, negative = scores[:, 0], scores[:, 1:]
    if name == "bpr":
        return bpr(positive, negative, is_negative)
    if name == "hinge":
        return hinge(positive, negative, is_negative, margin=config.margin)
    if name == "warp":
        return warp(positive, negative, num_items, is_negative, margin=config.margin)
    if name == "gbce":
        beta = gbce_beta(config.negatives_per_row, num_items, config.calibration)
        return gbce(positive, negative, beta, is_negative)
    if name == "logistic":
        # The event and once "not seen": for c = α Johnson's loss of a positive, for c = 0 that of every other pair.
        seen = weighted_logistic(positive, tf.constant(config.positive_weight))
        return seen + mean_of_negatives(tf.nn.softplus(negative), is_negative)
    assert name == "squared"
    return squared(positive, tf.ones([])) + mean_of_negatives(squared(negative, tf.zeros([])), is_negative)
