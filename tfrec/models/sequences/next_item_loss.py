"""What a sequence model learns by: the true next item against all others, or against drawn ones."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import tensorflow as tf
from pydantic import Field

from tfrec.config_file import Config
from tfrec.losses import KnownPositives, gbce, gbce_beta, sampled_softmax
from tfrec.losses.against_hardest import bpr_max, top1_max
from tfrec.losses.full_softmax import full_softmax
from tfrec.losses.row_shares import row_shares
from tfrec.losses.seen_items import SeenItems
from tfrec.models.sequences.asked import AskedRows
from tfrec.models.sequences.item_vectors import ItemVectors
from tfrec.negatives.item_sampler import ItemSampler

LARGEST_SOFTMAX = 20_000  # items; with more the logits of a step cost several times all else


class SoftmaxConfig(Config):
    """Cross-entropy over all items; where the catalogue is small enough nothing is better."""

    kind: Literal["softmax"] = "softmax"
    exclude_seen: bool = Field(
        False,
        description="items of a step's own past are left out, but for the true one: for logs in which nothing is taken "
        "twice, if what was seen is never recommended",
    )


class _Drawn(Config):
    """What all losses against drawn negatives have in common."""

    num_negatives: int = Field(512, ge=1, description="items drawn in a step, for all of its rows together")
    alpha: float = Field(0.5, ge=0, le=2, description="an item is drawn in proportion to (its events)^alpha")


class SampledSoftmaxConfig(_Drawn):
    """Cross-entropy over drawn items, corrected for how often each is drawn (logQ)."""

    kind: Literal["sampled_softmax"] = "sampled_softmax"


class GbceConfig(_Drawn):
    """Yes or no with many negatives and without overconfidence (gSASRec, Petrov & Macdonald 2023)."""

    kind: Literal["gbce"] = "gbce"
    alpha: float = Field(0.0, ge=0, le=2, description="an item is drawn in proportion to (its events)^alpha")
    calibration: float = Field(0.75, ge=0, le=1, description="t: 0 is plain cross-entropy, 1 gives true probabilities")


class BprMaxConfig(_Drawn):
    """BPR-max of GRU4Rec."""

    kind: Literal["bpr_max"] = "bpr_max"
    penalty: float = Field(0.5, ge=0, description="λ, of the squared scores of negatives")


class Top1MaxConfig(_Drawn):
    """TOP1-max of GRU4Rec."""

    kind: Literal["top1_max"] = "top1_max"


LossConfig = Annotated[
    SoftmaxConfig | SampledSoftmaxConfig | GbceConfig | BprMaxConfig | Top1MaxConfig, Field(discriminator="kind")
]


class NextItemLoss:
    """Loss of queries whose true items are known, of one step of training."""

    def __init__(self, config: Any, counts: np.ndarray) -> None:
        """Prepare.

        Args:
            config: one of `LossConfig`; None for the softmax, over drawn items where the catalogue is large.
            counts: training events of the items that can be predicted. int [num_classes]

        """
        if config is None:
            config = SoftmaxConfig() if len(counts) <= LARGEST_SOFTMAX else SampledSoftmaxConfig()
        self._config, self._num_items = config, len(counts)
        is_drawn = not isinstance(config, SoftmaxConfig)
        self._sampler = ItemSampler.by_popularity(np.maximum(counts, 1), config.alpha) if is_drawn else None

    @property
    def kind(self) -> str:
        """As `model.loss.kind` has it."""
        return str(self._config.kind)

    @property
    def excludes_seen(self) -> bool:
        """Whether it wants to know what each row has seen."""
        return isinstance(self._config, SoftmaxConfig) and self._config.exclude_seen

    def __call__(
        self,
        rows: AskedRows,
        items: ItemVectors,
        seed: tf.Tensor,
        compute_type: tf.DType,
        seen: SeenItems | None = None,
    ) -> tf.Tensor:
        """Mean over the rows of the global batch, by their weights; a scalar.

        Args:
            rows: queries and their true items.
            items: vectors and biases of the items.
            seed: of what is drawn. int32 [2]
            compute_type: of matrix products.
            seen: what each row has seen, where that is left out.

        """
        queries, targets, weights = rows
        if self._sampler is None:
            shares = row_shares(tf.shape(queries)[0], weights)
            return full_softmax(queries, *items.catalogue(), targets, shares, compute_type, seen)
        drawn = self._sampler.draw(self._config.num_negatives, seed)
        positives = items.of(targets)
        if isinstance(self._config, SampledSoftmaxConfig):
            drawn, _, counts = tf.unique_with_counts(drawn)
            candidates = items.of(drawn)
            expected = self._sampler.log_probability(drawn) + tf.math.log(float(self._config.num_negatives))
            # The biases are one more column, since gradients reach vectors and not offsets.
            return sampled_softmax(
                tf.concat([queries, tf.ones_like(queries[:, :1])], axis=1),
                tf.concat([positives.vectors, positives.biases[:, None]], axis=1),
                tf.concat([candidates.vectors, candidates.biases[:, None]], axis=1),
                drawn,
                tf.math.log(tf.cast(counts, tf.float32)) - expected,
                KnownPositives.of_rows(targets),
                sample_weight=weights,
                num_items=self._num_items,
                compute_type=compute_type,
            )
        candidates = items.of(drawn)  # what was drawn twice counts twice
        own = tf.reduce_sum(queries * positives.vectors, axis=1) + positives.biases
        others = tf.matmul(tf.cast(queries, compute_type), tf.cast(candidates.vectors, compute_type), transpose_b=True)
        losses = self._by_pairs(own, tf.cast(others, tf.float32) + candidates.biases, targets[:, None] != drawn)
        return tf.reduce_sum(losses * row_shares(tf.shape(queries)[0], weights))

    def _by_pairs(self, own: tf.Tensor, others: tf.Tensor, is_negative: tf.Tensor) -> tf.Tensor:
        config = self._config
        if isinstance(config, GbceConfig):
            beta = gbce_beta(config.num_negatives, self._num_items, config.calibration)
            return gbce(own, others, beta, is_negative)
        if isinstance(config, BprMaxConfig):
            return bpr_max(own, others, is_negative, config.penalty)
        return top1_max(own, others, is_negative)
