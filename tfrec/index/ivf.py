"""Lists of like items, of which a query looks into the most promising ones (Jégou et al. 2011, without the codes)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrec.errors import ConfigError
from tfrec.index.exact import ExactIndex
from tfrec.index.item_index import LANES, Excluded, ItemIndex, Neighbours, checked_vectors, found, padded
from tfrec.index.limits import MOST_PROBES
from tfrec.index.partition import Partition
from tfrec.index.top_k import NEVER, top_places


class Candidates(NamedTuple):
    """What stands in the lists that a query looks into.

    Attributes:
        scores: float32 [n].
        items: int32 [n].
        lists: int32 [probes].
        begins: of the lists among the candidates. int32 [probes]

    """

    scores: tf.Tensor
    items: tf.Tensor
    lists: tf.Tensor
    begins: tf.Tensor


class Tables(NamedTuple):
    """The variables that all rows of a batch read.

    Attributes:
        vectors: list by list. float32 [num_items and padding, dim and padding]
        items: of the vectors. int32 [num_items]
        starts: of the lists among the vectors. int32 [lists + 1]

    """

    vectors: tf.Tensor
    items: tf.Tensor
    starts: tf.Tensor


class IvfIndex(ItemIndex):
    """The vectors list by list, in float32, so that what is found has its true score.

    A list is a slice of the table, which TensorFlow reads where it stands; only its scores are written. Rows of a batch
    take turns, and each is answered as it would be alone. Where the lists hold too few items for a request, because it
    is deeper than what the lists were tried at or its limits leave little, the row is answered from all items.
    """

    def __init__(self, vectors: np.ndarray, parts: Partition, probes: int, depth: int) -> None:
        """Arrange vectors.

        Args:
            vectors: float32 [num_items, dim].
            parts: their lists.
            probes: lists that a query looks into.
            depth: places of a list up to which these are known to be enough.

        Raises:
            ConfigError: more probes than lists or than `MOST_PROBES`.
            DataError: no vectors, or some not finite.

        """
        super().__init__(name="ivf_index")
        vectors = checked_vectors(vectors)
        lists = len(parts.centres)
        if not 1 <= probes <= min(lists, MOST_PROBES):
            raise ConfigError(f"index: {probes} probes of {lists} lists; choose from 1 to {min(lists, MOST_PROBES)}")
        self.num_items, self.probes, self.depth = len(vectors), probes, depth
        self._all = ExactIndex(vectors[parts.order])
        place_of_item = np.empty(self.num_items, np.int32)
        place_of_item[parts.order] = np.arange(self.num_items, dtype=np.int32)
        list_of_place = np.repeat(np.arange(lists, dtype=np.int32), np.diff(parts.starts))
        # Both side by side: an excluded item costs one wait for memory.
        where = np.stack([list_of_place[place_of_item], place_of_item - parts.starts[list_of_place[place_of_item]]], 1)
        self._where = tf.Variable(where, trainable=False, name="list_and_place_of_item")
        self._items = tf.Variable(parts.order, trainable=False, name="item_of_place")
        self._starts = tf.Variable(parts.starts, trainable=False, name="list_starts")
        self._centres = tf.Variable(padded(parts.centres, 1, LANES), trainable=False, name="list_centres")

    def search(
        self,
        queries: tf.Tensor,
        k: tf.Tensor | int,
        excluded: Excluded | None = None,
        allowed: tf.Tensor | None = None,
    ) -> Neighbours:
        batch, k = tf.shape(queries)[0], tf.minimum(tf.convert_to_tensor(k, tf.int32), self.num_items)
        queries = self._all.widened(queries)
        tables = Tables(*map(tf.convert_to_tensor, (self._all.vectors, self._items, self._starts)))
        scores = tf.TensorArray(tf.float32, batch, element_shape=[None])
        items = tf.TensorArray(tf.int32, batch, element_shape=[None])

        def row(at: tf.Tensor, scores: tf.TensorArray, items: tf.TensorArray) -> tuple[tf.Tensor, ...]:
            limits = None if allowed is None else allowed[tf.where(tf.shape(allowed)[0] == 1, 0, at)]
            best, nearest = self._search_row(tables, queries[at], k, _of_row(excluded, at, self.num_items), limits)
            return at + 1, scores.write(at, best), items.write(at, nearest)

        _, scores, items = tf.while_loop(lambda at, *_: at < batch, row, (0, scores, items))
        shape = tf.stack([batch, k])
        return found(tf.reshape(scores.stack(), shape), tf.reshape(items.stack(), shape))

    def _search_row(
        self,
        tables: Tables,
        query: tf.Tensor,
        k: tf.Tensor,
        excluded: tf.Tensor | None,
        allowed: tf.Tensor | None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores and items [k] of a query [dim as wide as the table]."""
        near = self._look_up(tables, query)
        scores = near.scores
        if allowed is not None:
            scores = tf.where(tf.gather(allowed, near.items), scores, NEVER)
        if excluded is not None:
            scores = self._without(scores, near, excluded)
        left, of = tf.math.count_nonzero(scores > NEVER, dtype=tf.int32), tf.size(scores)
        # Of a share of the items, the k best lie as deep as the k / share best of all.
        is_enough = (left >= k) & (
            tf.cast(k, tf.float32) * tf.cast(of, tf.float32) <= self.depth * tf.cast(left, tf.float32)
        )

        def of_lists() -> tuple[tf.Tensor, tf.Tensor]:
            best, places = top_places(scores[None], k)
            return best[0], tf.gather(near.items, places[0])

        return tf.cond(is_enough, of_lists, lambda: self._of_all(tables, query, k, excluded, allowed))

    def _look_up(self, tables: Tables, query: tf.Tensor) -> Candidates:
        _, lists = tf.math.top_k(tf.linalg.matvec(self._centres, query), self.probes)
        first = tf.gather(tables.starts, lists)
        sizes = tf.gather(tables.starts, lists + 1) - first
        scores, found_items = [], []
        for begin, size in zip(tf.unstack(first), tf.unstack(sizes), strict=True):
            part = tf.slice(tables.vectors, [begin, 0], [size, tables.vectors.shape[1]])
            scores.append(tf.matmul(query[None], part, transpose_b=True))
            found_items.append(tf.slice(tables.items, [begin], [size]))
        begins = tf.cumsum(sizes, exclusive=True)
        return Candidates(tf.concat(scores, axis=1)[0], tf.concat(found_items, axis=0), lists, begins)

    def _without(self, scores: tf.Tensor, near: Candidates, excluded: tf.Tensor) -> tf.Tensor:
        """Scores of the candidates, −inf where the item is one of `excluded` int64 [n]."""
        places = tf.gather(self._where, excluded)
        begin_of_list = tf.tensor_scatter_nd_update(
            tf.fill([self._centres.shape[0]], -1), near.lists[:, None], near.begins
        )
        begins = tf.gather(begin_of_list, places[:, 0])
        places = tf.boolean_mask(begins + places[:, 1], begins >= 0)[:, None]
        return tf.tensor_scatter_nd_update(scores, places, tf.fill(tf.shape(places)[:1], NEVER))

    def _of_all(
        self,
        tables: Tables,
        query: tf.Tensor,
        k: tf.Tensor,
        excluded: tf.Tensor | None,
        allowed: tf.Tensor | None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        scores = tf.matmul(query[None], tables.vectors, transpose_b=True)
        pairs = None
        if excluded is not None:
            where = tf.gather(self._where, excluded)
            places = tf.cast(tf.gather(tables.starts, where[:, 0]) + where[:, 1], tf.int64)
            pairs = Excluded(tf.zeros_like(places), places)
        limits = None if allowed is None else tf.gather(allowed, tables.items)[None]
        best, places = top_places(self._all.limited(scores, pairs, limits), k)
        return best[0], tf.gather(tables.items, tf.minimum(places[0], self.num_items - 1))


def _of_row(excluded: Excluded | None, row: tf.Tensor, num_items: int) -> tf.Tensor | None:
    """The excluded items of one row, int64 [n]."""
    if excluded is None:
        return None
    is_of_row = (excluded.rows == tf.cast(row, tf.int64)) & (excluded.items >= 0) & (excluded.items < num_items)
    return tf.boolean_mask(excluded.items, is_of_row)
