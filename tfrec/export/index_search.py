"""An index in the place of scoring the whole catalogue."""

from __future__ import annotations

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.export.filters import Limits
from tfrec.export.inner_products import InnerProducts
from tfrec.index import Excluded, ItemIndex
from tfrec.models.base import RetrievalModel


class IndexSearch(tf.Module):
    """The query for a user, looked up among the items' vectors; a `Search`."""

    def __init__(self, model: RetrievalModel, products: InnerProducts, index: ItemIndex) -> None:
        """Take the queries of a model, and an index of its items' vectors."""
        super().__init__(name="search")
        # Functions and variables of the model, not the model: tf.Module would track its layers and save them too.
        self._embed = tf.function(products.embed_queries, autograph=False)
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
