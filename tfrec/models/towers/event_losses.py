r"""What rankers minimise over labelled events: row by row, over pairs of a group, or over the list of a group.

With logit z, label y and weight w of a row, and the rows of one request (or user) as its group g:

.. math::
    \text{pointwise:} & \quad \tfrac1n \sum_i w_i\, p^{y_i}\, (\log(1 + e^{z_i}) - y_i z_i)
        \quad\text{or}\quad \tfrac1n \sum_i w_i (y_i - z_i)^2 \\
    \text{pairwise:} & \quad \tfrac1n \sum_g W_g
        \frac{\sum_{i, j \in g,\, y_i > y_j} w_i w_j \log(1 + e^{z_j - z_i})}{\sum_{i, j \in g,\, y_i > y_j} w_i w_j} \\
    \text{listwise:} & \quad -\tfrac1n \sum_g W_g \sum_{i \in g} q_i \log \frac{e^{z_i}}{\sum_{j \in g} w_j e^{z_j}}

n are the rows of the batch, W_g the weight of a group's rows: groups count as they do in GAUC, and a group of thousands
does not outweigh all others by the square of its size. The pairs are RankNet's with their true order certain (Burges et
al. 2005, eq. 3), and BPR's where labels are binary. The list is ListNet's with the top-one probability (Cao et al.
2007, §5): q is proportional to w·e^y for values, and for a binary label to w·y, so that all of it is on the positives.
A row of weight 2 is in all of them what two rows would be, but for n, and one of weight 0 is none. p is
`positive_weight`. Dividing by n and not by Σ w keeps the mean of the gradient over batches that of the weighted loss
over all events.
"""

from __future__ import annotations

import math
from typing import Literal

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.group_batches import GROUP
from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError
from tfrec.models.base import CalibratedConfig, RankingModel
from tfrec.models.learning import TrainingRows
from tfrec.models.towers.row_groups import RowGroups
from tfrec.replicas import gathered, global_mean, num_replicas, share
from tfrec.schema import LABEL, WEIGHT, Schema


class EventLossConfig(CalibratedConfig):
    """How labels and weights of events become a loss."""

    loss: Literal["pointwise", "pairwise", "listwise"] = Field(
        "pointwise", description="each event for itself, or events of one request (user) against each other"
    )
    loss_within: Literal["request", "user"] | None = Field(
        None, description="whose events are compared; requests where the log has them, else users"
    )
    positive_weight: float = Field(
        1.0, gt=0, description="of events with label 1, pointwise; probabilities are corrected for it"
    )


def require_loss(config: EventLossConfig, schema: Schema) -> None:
    """Refuse a loss that the dataset has no labels or groups for.

    Raises:
        ConfigError: `positive_weight` without a binary label or pointwise loss, a calibration without a binary label,
            or requests where there are none.

    """
    is_binary = schema.label is not None and schema.label.is_binary
    if config.calibration != "none" and not is_binary:
        raise ConfigError(
            f"model.calibration={config.calibration}: makes probabilities true, and the label is a value; leave it "
            "out, or give the label a 'threshold'"
        )
    if config.positive_weight != 1:
        if config.loss != "pointwise":
            raise ConfigError(
                f"model.positive_weight={config.positive_weight}: changes nothing of loss={config.loss}, where every "
                "comparison has a positive; leave it out, or choose loss=pointwise"
            )
        if not is_binary:
            raise ConfigError(
                f"model.positive_weight={config.positive_weight}: the label is a value, and no class is rare; leave it "
                "out, or give the label a 'threshold'"
            )
    if config.loss_within == "request" and schema.request is None:
        raise ConfigError(
            "model.loss_within=request: the dataset has no request ids; add 'request' to its dataset.yaml, or choose "
            "user"
        )


def require_plain(config: EventLossConfig, why: str) -> None:
    """Refuse the keys of the loss in a model that has a loss of its own.

    Raises:
        ConfigError: one of them is not left at its default.

    """
    for name, field in EventLossConfig.model_fields.items():
        if getattr(config, name) != field.default:
            raise ConfigError(f"model.{name}={getattr(config, name)}: {why}; leave it out")


def loss_columns(schema: Schema) -> frozenset[str]:
    """Columns of the training records that the loss reads; `GROUP` is added by those who serve whole groups."""
    return frozenset({LABEL, *([WEIGHT] if schema.weight is not None else [])})


def event_loss(config: EventLossConfig, schema: Schema, inputs: Tensors, logits: tf.Tensor) -> tf.Tensor:
    """Loss of a batch, scalar; with several replicas this one's share of that of the global batch.

    Args:
        config: which loss.
        schema: whether the label is binary, and whether events have weights.
        inputs: `loss_columns`, and `GROUP` where the loss compares.
        logits: of the rows. float32 [batch]

    """
    is_binary = schema.label is not None and schema.label.is_binary
    labels = inputs[LABEL]
    weights = inputs[WEIGHT] if schema.weight is not None else tf.ones_like(logits)
    if config.loss == "pointwise":
        return global_mean(pointwise_losses(logits, labels, weights, config.positive_weight, is_binary=is_binary))
    # Replicas are served rows, not groups: each sees the whole batch, and answers for its share of the sum.
    together = [gathered(values) for values in (logits, labels, weights, inputs[GROUP])]
    if config.loss == "pairwise":
        losses = pairwise_losses(*together)
    else:
        losses = listwise_losses(*together, is_binary=is_binary)
    return tf.reduce_mean(losses) if num_replicas() == 1 else share(tf.reduce_mean(losses))


def pointwise_losses(
    logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, positive_weight: float = 1.0, *, is_binary: bool
) -> tf.Tensor:
    """Weighted loss of each row. float32 [batch], as all arguments."""
    if not is_binary:
        return weights * tf.square(labels - logits)
    if positive_weight != 1:
        weights = weights * (1.0 + (positive_weight - 1.0) * labels)
    return weights * tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)


def pairwise_losses(logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, groups: tf.Tensor) -> tf.Tensor:
    """Each row's share in the loss of the pairs, its weight times the mean over its group's pairs. float32 [batch]

    Args:
        logits: of the rows. float32 [batch]
        labels: of the rows; a pair has two different ones. float32 [batch]
        weights: of the rows. float32 [batch]
        groups: of the rows, in any order. int64 [batch]

    """
    by_group = RowGroups.of(groups)
    better, worse = by_group.pairs(labels)
    weight = tf.gather(weights, better) * tf.gather(weights, worse)
    losses = tf.nn.softplus(tf.gather(logits, worse) - tf.gather(logits, better))
    group = tf.gather(by_group.group, better)
    sums, total = (tf.math.unsorted_segment_sum(v, group, by_group.count) for v in (weight * losses, weight))
    return weights * tf.gather(tf.math.divide_no_nan(sums, total), by_group.group)


def listwise_losses(
    logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, groups: tf.Tensor, *, is_binary: bool
) -> tf.Tensor:
    """Each row's share in the loss of the lists, its weight times the cross-entropy of its group. float32 [batch]

    Args:
        logits: of the rows. float32 [batch]
        labels: of the rows. float32 [batch]
        weights: of the rows. float32 [batch]
        groups: of the rows, in any order. int64 [batch]
        is_binary: whether the target is spread over the positives alone.

    """
    by_group = RowGroups.of(groups)
    gains = weights * (labels if is_binary else tf.exp(labels - by_group.greatest(labels)))
    targets = tf.math.divide_no_nan(gains, by_group.sum(gains))
    counts = weights > 0
    greatest = by_group.greatest(tf.where(counts, logits, logits.dtype.min))
    shifted = tf.where(counts, logits - tf.stop_gradient(greatest), 0.0)
    total = by_group.sum(weights * tf.exp(shifted))
    log_shares = shifted - tf.math.log(tf.where(total > 0, total, 1.0))
    return -weights * by_group.sum(targets * log_shares)


class LearnsFromEvents(RankingModel):
    """A ranking model whose config says how labels become a loss."""

    config: EventLossConfig

    @property
    def training_rows(self) -> TrainingRows:
        """Whole groups where rows are compared."""
        return "events" if self.config.loss == "pointwise" else "groups"

    @property
    def learns_probabilities(self) -> bool:  # type: ignore[override]
        """Differences of logits are all that a comparison sees."""
        return self.config.loss == "pointwise"

    @property
    def logit_shift(self) -> float:
        """Also undoes `positive_weight`, which multiplies the odds by itself."""
        return super().logit_shift - math.log(self.config.positive_weight)
