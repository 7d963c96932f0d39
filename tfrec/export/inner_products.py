"""What an index needs of a model: scores that are inner products of a query for the user and item vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Arrays, Tensors
from tfrec.models.base import RetrievalModel, TwoTowerEmbeddings

ITEMS_AT_ONCE = 65_536
MARGIN = 1.01  # more than rounding, so that what comes last does not tie with what is worst


@dataclass(frozen=True)
class InnerProducts:
    """Queries and item vectors.

    Attributes:
        embed_queries: encoded user and context features → float32 [batch, dim].
        vectors: of the items. float32 [num_items, dim]
        is_last: which items stand behind all others for every query; their products are no scores. bool [num_items]

    """

    embed_queries: Callable[[Tensors], tf.Tensor]
    vectors: np.ndarray
    is_last: np.ndarray


def of_towers(model: RetrievalModel) -> InnerProducts | None:
    """Those of a model with two towers, for the catalogue that it knows."""
    towers = model.embeddings()
    if towers is None:
        return None
    vectors = item_vectors(towers, model.inputs.catalogue.features)
    return InnerProducts(towers.embed_users, vectors, np.zeros(len(vectors), bool))


def item_vectors(towers: TwoTowerEmbeddings, features: Arrays) -> np.ndarray:
    """Vectors of items by their encoded features; float32 [num_items, dim]."""
    size = len(next(iter(features.values())))
    blocks = [slice(at, at + ITEMS_AT_ONCE) for at in range(0, size, ITEMS_AT_ONCE)]
    return np.concatenate(
        [towers.embed_items({n: tf.constant(values[block]) for n, values in features.items()}) for block in blocks]
    )


def with_last(products: InnerProducts, is_last: np.ndarray) -> InnerProducts:
    r"""Put items behind all others.

    One more dimension holds :math:`\lVert q \rVert` of the query and :math:`-\max_i \lVert v_i \rVert` of these items,
    0 of the others: no product of the others is lower (Cauchy-Schwarz).

    Args:
        products: of all items.
        is_last: those to put there, whatever their vectors are. bool [num_items]

    """
    most = np.linalg.norm(products.vectors[~is_last], axis=1).max(initial=0)
    vectors = np.pad(np.where(is_last[:, None], np.float32(0), products.vectors), [(0, 0), (0, 1)])
    vectors[is_last, -1] = -MARGIN * most

    def embed_queries(features: Tensors) -> tf.Tensor:
        queries = products.embed_queries(features)
        return tf.concat([queries, tf.norm(queries, axis=1, keepdims=True)], axis=1)

    return InnerProducts(embed_queries, vectors, products.is_last | is_last)
