"""The best items of the catalogue for users: scoring, limits and the cut to k in one call."""

from __future__ import annotations

from typing import Protocol

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.export.filters import Limits
from tfrec.index import top_places
from tfrec.models.base import RetrievalModel


class Search(Protocol):
    """What finds items: all of the catalogue scored, or an index."""

    def __call__(self, features: Tensors, limits: Limits, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Best items first.

        Args:
            features: encoded user and context features, [batch] or [batch, …].
            limits: what must not be found. Fewer than `width` items are found where fewer are left.
            width: number of items; at most the catalogue. int32 scalar

        Returns:
            scores float32 [batch, width], −inf where there is none left, and item indices int32 [batch, width].

        """


class CatalogueSearch(tf.Module):
    """Scores of the whole catalogue by the model itself: exact, for every model."""

    def __init__(self, model: RetrievalModel) -> None:
        super().__init__(name="search")
        # Functions and variables of the model, not the model: tf.Module would track its layers and save them too.
        self._scores = tf.function(model.scores, autograph=False)
        self._state = model.state

    def __call__(self, features: Tensors, limits: Limits, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return top_places(limits.apply(self._scores(features)), width)
