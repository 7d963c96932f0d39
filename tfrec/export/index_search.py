"""An index in the place of scoring the whole catalogue."""

from __future__ import annotations

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.export.filters import Limits
from tfrec.index import Excluded, ItemIndex
from tfrec.models.base import RetrievalModel


class IndexSearch(tf.Module):
    """The user tower's vector, looked up among the items' vectors; a `Search`."""

    def __init__(self, model: RetrievalModel, index: ItemIndex) -> None:
        """Take the user tower of a model that has one, and an index of its items."""
        super().__init__(name="search")
        towers = model.embeddings()
        assert towers is not None, "an index needs a model with two towers"
        # Functions and variables of the model, not the model: tf.Module would track its layers and save them too.
        self._embed = tf.function(towers.embed_users, autograph=False)
        self._state = model.state
        self._index = index

    def __call__(self, features: Tensors, limits: Limits, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        queries, excluded = self._embed(features), Excluded(*limits.excluded)
        scores, items = tf.cond(
            limits.is_filtered,
            lambda: tuple(self._index.search(queries, width, excluded, limits.allowed())),
            lambda: tuple(self._index.search(queries, width, excluded)),
        )
        return scores, tf.maximum(items, 0)  # where none is left the score says so
