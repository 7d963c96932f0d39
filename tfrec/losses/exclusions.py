"""Which candidates are no negatives of a row: its own item, and others that its user is known to like."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

DIRECT_SLOTS = 1 << 20  # catalogues up to here have a slot for each item when candidates are looked up


class KnownPositives(NamedTuple):
    """Items that are no negatives of a row. Rows of one user share a list, so that it is worked through once.

    Attributes:
        items: item ids, one list per group. int64 [groups, None]
        group: the list of each row; never decreasing. int32 [batch]

    """

    items: tf.RaggedTensor
    group: tf.Tensor

    @classmethod
    def of_rows(cls, own: tf.Tensor, others: tf.RaggedTensor | None = None) -> KnownPositives:
        """Each row's own item, int [batch], and the others of its list, [batch, None]."""
        own = tf.RaggedTensor.from_tensor(tf.cast(own, tf.int64)[:, None])
        items = own if others is None else tf.concat([own, tf.cast(others, tf.int64)], axis=1)
        return cls(items, tf.range(items.nrows(out_type=tf.int32)))

    @classmethod
    def of_users(cls, users: tf.Tensor, items_by_user: tf.RaggedTensor) -> KnownPositives:
        """All items of the rows' users.

        Args:
            users: user indices of a batch that is sorted by user. int [batch]
            items_by_user: int64 [num_users, None].

        """
        distinct, group = tf.unique(users)
        return cls(tf.gather(items_by_user, distinct), group)


class Exclusions(NamedTuple):
    """Pairs of groups of rows and candidates.

    Attributes:
        group: int32 [batch], never decreasing.
        splits: the pairs of group g stand at splits[g] to splits[g + 1]. int64 [groups + 1]
        cells: group · num_candidates + candidate. int64 [pairs]

    """

    group: tf.Tensor
    splits: tf.Tensor
    cells: tf.Tensor

    def in_rows(self, offsets: tf.Tensor, begin: tf.Tensor, end: tf.Tensor, excluded: float) -> tf.Tensor:
        """Offsets of the rows `begin` to `end`: the candidates', or `excluded`.

        Args:
            offsets: of the candidates. float [num_candidates]
            begin: first row.
            end: after the last row.
            excluded: offset of what is no negative.

        Returns:
            float [end − begin, num_candidates].

        """
        width = tf.shape(offsets, out_type=tf.int64)[0]
        first, last = self.group[begin], self.group[end - 1] + 1
        cells = self.cells[self.splits[first] : self.splits[last]] - tf.cast(first, tf.int64) * width
        values = tf.fill(tf.shape(cells), tf.constant(excluded, offsets.dtype))
        of_groups = tf.reshape(tf.tile(offsets[None, :], [last - first, 1]), [-1])
        of_groups = tf.reshape(tf.tensor_scatter_nd_update(of_groups, cells[:, None], values), [-1, width])
        return tf.gather(of_groups, self.group[begin:end] - first)


def exclude(known: KnownPositives, candidate_ids: tf.Tensor, num_items: int | None = None) -> Exclusions:
    """Find the known positives among the candidates.

    Args:
        known: lists of item ids.
        candidate_ids: distinct item ids. int [num_candidates]
        num_items: ids are below this, where it is known.

    """
    items, candidate_ids = known.items.flat_values, tf.cast(candidate_ids, tf.int64)
    count = tf.size(candidate_ids)
    is_direct = num_items is not None and num_items <= DIRECT_SLOTS
    slots = num_items if is_direct else DIRECT_SLOTS
    candidate_of = tf.tensor_scatter_nd_update(tf.fill([slots], -1), (candidate_ids % slots)[:, None], tf.range(count))
    candidate = tf.gather(candidate_of, items if is_direct else items % slots)
    found = tf.where(candidate >= 0)[:, 0]
    candidate = tf.gather(candidate, found)
    if not is_direct:  # Several ids share a slot. What shares one with a candidate is little, and is searched for.
        order = tf.argsort(candidate_ids)
        ordered, wanted = tf.gather(candidate_ids, order), tf.gather(items, found)
        place = tf.minimum(tf.searchsorted(ordered, wanted), count - 1)
        is_same = tf.gather(ordered, place) == wanted
        found, candidate = found[is_same], tf.gather(order, place)[is_same]
    group = tf.cast(tf.gather(known.items.value_rowids(), found), tf.int64)
    cells = group * tf.cast(count, tf.int64) + tf.cast(candidate, tf.int64)
    splits = tf.searchsorted(found, tf.cast(known.items.row_splits, tf.int64), out_type=tf.int64)
    return Exclusions(tf.cast(known.group, tf.int32), splits, cells)
