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


class Tables(NamedTuple):
    """The variables that all rows of a batch read.

    Attributes:
        vectors: list by list. float32 [num_items and padding, dim and padding]
        items: of the vectors. int32 [num_items, 1]
        starts: of the lists among the vectors. int32 [lists + 1]

    """

    vectors: tf.Tensor
    items: tf.Tensor
    starts: tf.Tensor


class Looked(NamedTuple):
    """The lists that each row of a batch looks into.

    Attributes:
        lists: int32 [batch, probes].
        begins: where the slice of each list begins in a table. int32 [batch, probes, 2]
        sizes: of these slices, all columns of them. int32 [batch, probes, 2]
        offsets: where each list begins among the candidates of its row. int32 [batch, probes]
        totals: candidates of each row. int32 [batch]

    """

    lists: tf.Tensor
    begins: tf.Tensor
    sizes: tf.Tensor
    offsets: tf.Tensor
    totals: tf.Tensor


class Hits(NamedTuple):
    """Excluded items that stand in a list which their row looks into.

    Attributes:
        rows: int32 [hits].
        places: among the candidates of the row. int32 [hits]

    """

    rows: tf.Tensor
    places: tf.Tensor


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
        # A border of items outside of the catalogue, which stand in a list that nobody looks into.
        self._list_of_item = tf.Variable(
            np.pad(list_of_place[place_of_item], 1, constant_values=lists), trainable=False, name="list_of_item"
        )
        self._place_of_item = tf.Variable(place_of_item, trainable=False, name="place_of_item")
        self._items = tf.Variable(parts.order[:, None], trainable=False, name="item_of_place")
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
        looked = self._look(tables, queries)
        hits = None if excluded is None else self._hits(looked, excluded)
        left = looked.totals if hits is None else looked.totals - _count(hits.rows, batch)
        is_enough = self._is_enough(k, left, looked.totals)
        best = tf.TensorArray(tf.float32, batch, element_shape=[None])
        items = tf.TensorArray(tf.int32, batch, element_shape=[None])

        def row(at: tf.Tensor, best: tf.TensorArray, items: tf.TensorArray) -> tuple[tf.Tensor, ...]:
            query = tf.gather(queries, at)[None]
            limits = None if allowed is None else tf.gather(allowed, tf.minimum(at, tf.shape(allowed)[0] - 1))
            scores, candidates = self._score(tables, looked, query, at)
            is_found = tf.gather(is_enough, at)
            if hits is not None:
                scores = _without(scores, hits, at, tf.size(candidates))
            if limits is not None:
                scores = tf.where(tf.concat([tf.gather(limits, candidates), [False]], axis=0), scores, NEVER)
                some = tf.math.count_nonzero(scores > NEVER, dtype=tf.int32)
                is_found = self._is_enough(k, some, tf.size(candidates))

            def of_lists() -> tuple[tf.Tensor, tf.Tensor]:
                top, places = tf.math.top_k(scores, k)
                return top, tf.gather(candidates, places)

            def of_all() -> tuple[tf.Tensor, tf.Tensor]:
                return self._of_all(tables, query, k, _of_row(excluded, at, self.num_items), limits)

            top, nearest = tf.cond(is_found, of_lists, of_all)
            return at + 1, best.write(at, top), items.write(at, nearest)

        _, best, items = tf.while_loop(lambda at, *_: at < batch, row, (0, best, items))
        shape = tf.stack([batch, k])
        return found(tf.reshape(best.stack(), shape), tf.reshape(items.stack(), shape))

    def _look(self, tables: Tables, queries: tf.Tensor) -> Looked:
        _, lists = tf.math.top_k(tf.matmul(queries, self._centres, transpose_b=True), self.probes)
        first = tf.gather(tables.starts, lists)
        sizes = tf.gather(tables.starts, lists + 1) - first
        return Looked(
            lists,
            tf.stack([first, tf.zeros_like(first)], axis=2),
            tf.stack([sizes, tf.fill(tf.shape(sizes), -1)], axis=2),
            tf.cumsum(sizes, axis=1, exclusive=True),
            tf.reduce_sum(sizes, axis=1),
        )

    def _hits(self, looked: Looked, excluded: Excluded) -> Hits:
        width, batch = self._centres.shape[0] + 1, tf.shape(looked.lists)[0]
        rows = tf.cast(excluded.rows, tf.int32)
        lists = tf.gather(self._list_of_item, tf.clip_by_value(excluded.items, -1, self.num_items) + 1)
        is_looked_into = tf.tensor_scatter_nd_update(
            tf.fill([batch * width], False),
            (tf.range(batch)[:, None] * width + looked.lists)[:, :, None],
            tf.fill(tf.shape(looked.lists), True),
        )
        # Most excluded items stand elsewhere; what follows is about few.
        near = tf.where(tf.gather(is_looked_into, rows * width + lists))[:, 0]
        rows, places = tf.gather(rows, near), tf.gather(self._place_of_item, tf.gather(excluded.items, near))
        at = tf.equal(tf.gather(looked.lists, rows), tf.gather(lists, near)[:, None])
        of_list = tf.gather(looked.offsets - looked.begins[:, :, 0], rows)
        return Hits(rows, places + tf.reduce_sum(tf.where(at, of_list, 0), axis=1))

    def _score(self, tables: Tables, looked: Looked, query: tf.Tensor, at: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores float32 [total + 1] and items int32 [total] of what row `at` looks at; the last score is −inf."""
        scores, items = [], []
        begins, sizes = tf.unstack(tf.gather(looked.begins, at)), tf.unstack(tf.gather(looked.sizes, at))
        for begin, size in zip(begins, sizes, strict=True):
            scores.append(tf.matmul(query, tf.slice(tables.vectors, begin, size), transpose_b=True))
            items.append(tf.slice(tables.items, begin, size))
        return (
            tf.reshape(tf.concat([*scores, [[NEVER]]], axis=1), [-1]),
            tf.reshape(tf.concat(items, axis=0), [-1]),
        )

    def _is_enough(self, k: tf.Tensor, left: tf.Tensor, of: tf.Tensor) -> tf.Tensor:
        """Whether lists are enough for k of the candidates that are left; counts and result [batch], or scalars."""
        # Of a share of the items, the k best lie as deep as the k / share best of all.
        deepest = tf.cast(k, tf.float32) * tf.cast(of, tf.float32)
        return (left >= k) & (deepest <= self.depth * tf.cast(left, tf.float32))

    def _of_all(
        self,
        tables: Tables,
        query: tf.Tensor,
        k: tf.Tensor,
        excluded: tf.Tensor | None,
        allowed: tf.Tensor | None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        scores = tf.matmul(query, tables.vectors, transpose_b=True)
        pairs = None
        if excluded is not None:
            places = tf.cast(tf.gather(self._place_of_item, excluded), tf.int64)
            pairs = Excluded(tf.zeros_like(places), places)
        items = tables.items[:, 0]
        limits = None if allowed is None else tf.gather(allowed, items)[None]
        best, places = top_places(self._all.limited(scores, pairs, limits), k)
        return best[0], tf.gather(items, tf.minimum(places[0], self.num_items - 1))


def _without(scores: tf.Tensor, hits: Hits, row: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
    """Scores [total + 1] of a row, −inf where its hits are; those of other rows are written behind the candidates."""
    places = tf.where(tf.equal(hits.rows, row), hits.places, total)
    return tf.tensor_scatter_nd_update(scores, places[:, None], tf.fill(tf.shape(places), NEVER))


def _count(rows: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    """How often each row is named; int32 [batch]."""
    return tf.math.unsorted_segment_sum(tf.ones_like(rows), rows, batch)


def _of_row(excluded: Excluded | None, row: tf.Tensor, num_items: int) -> tf.Tensor | None:
    """The excluded items of one row, int64 [n]."""
    if excluded is None:
        return None
    is_of_row = (excluded.rows == tf.cast(row, tf.int64)) & (excluded.items >= 0) & (excluded.items < num_items)
    return tf.boolean_mask(excluded.items, is_of_row)
