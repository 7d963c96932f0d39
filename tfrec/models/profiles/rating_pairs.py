"""Predicted ratings of (user, item) pairs by a model that scores the whole catalogue for each user."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.models.inputs import ModelInputs
from tfrec.schema import ITEM_INDEX

BLOCK_VALUES = 1 << 22  # scores in memory at a time


def ratings_of_pairs(scores: Callable[[Tensors], tf.Tensor], features: Tensors, inputs: ModelInputs) -> tf.Tensor:
    """Scores of one item for each row; the catalogue is scored once for rows that read the same: all of one user where
    nothing but the user's id is read, neighbouring ones otherwise.

    Args:
        scores: encoded features → float32 [batch, num_items].
        features: what `scores` reads, and `ITEM_INDEX` int64 [batch].
        inputs: of the model.

    Returns:
        float32 [batch].

    """
    items = tf.cast(features[ITEM_INDEX], tf.int64)
    given = {name: values for name, values in features.items() if name != ITEM_INDEX}
    if set(given) == {inputs.schema.user_id}:
        distinct, number = tf.unique(given[inputs.schema.user_id])
        given = {inputs.schema.user_id: distinct}
    else:
        given, number = _runs(given)
    size = tf.reduce_max(number) + 1  # without rows the lowest integer: nothing is scored
    at_once = max(BLOCK_VALUES // max(inputs.num_items, 1), 1)

    def add(start: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        block = scores({name: values[start : start + at_once] for name, values in given.items()})
        places = tf.where((number >= start) & (number < start + at_once))[:, 0]
        at = tf.stack([tf.cast(tf.gather(number, places) - start, tf.int64), tf.gather(items, places)], axis=1)
        return start + at_once, tf.tensor_scatter_nd_update(found, places[:, None], tf.gather_nd(block, at))

    empty = tf.zeros_like(items, tf.float32)
    _, result = tf.while_loop(lambda start, _: start < size, add, (0, empty), parallel_iterations=1)
    return result


def _runs(given: Tensors) -> tuple[Tensors, tf.Tensor]:
    """The first of the rows of each run of equal ones, and of which run each row is; int32 [batch]."""
    changes = [tf.reduce_any(v[1:] != v[:-1], axis=list(range(1, v.shape.rank))) for v in given.values()]
    rows = tf.shape(next(iter(given.values())))[0]
    is_first = tf.concat([tf.fill([tf.minimum(rows, 1)], True), tf.reduce_any(tf.stack(changes), axis=0)], axis=0)
    starts = {name: tf.boolean_mask(values, is_first) for name, values in given.items()}
    return starts, tf.cumsum(tf.cast(is_first, tf.int32)) - 1
