r"""Hidden items predicted one after another in a drawn order (XLNet, Yang et al. 2019; Transformers4Rec, 2021).

.. math:: \prod_{j} P(i_{z_j} \mid \{i_t : t \text{ not hidden}\}, i_{z_1} \dots i_{z_{j-1}})

z is the drawn order of the hidden steps of a segment. A hidden step stands in the row twice, as in XLNet's two streams:
at its place with its item, where only those see it that come after it in the order; and behind the row as a mask of the
same place, which is asked, sees what comes before it in the order, and is seen by nobody. What hidden items tell of one
another is what masks alone cannot learn, for there each is predicted as if the others were never known.
"""

from __future__ import annotations

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.models.sequences.asked import Asked
from tfrec.models.sequences.encoder import Steps


def permuted(asked: Asked, order: tf.Tensor, mask: tf.Tensor) -> Asked:
    """Rows with the hidden steps behind them once more.

    Args:
        asked: rows with all items at their steps; `is_asked` says which steps are hidden.
        order: of the hidden steps, above 0; those of other steps are not read. float32 [rows, length]
        mask: vector of a step that is asked. float32 [dim]

    Returns:
        The same, each [rows, length + most hidden steps of a row]; only those behind the first `length` are asked.

    """
    hidden = asked.is_asked
    counts = tf.reduce_sum(tf.cast(hidden, tf.int32), axis=1)
    length, width = tf.shape(hidden)[1], tf.reduce_max(counts)
    # Hidden steps first; rows with fewer than others are filled up with steps that nobody asks for.
    places = tf.argsort(tf.cast(hidden, tf.int32), axis=1, direction="DESCENDING", stable=True)[:, :width]
    is_there = tf.range(width)[None, :] < counts[:, None]

    def twice(values: tf.Tensor) -> tf.Tensor:
        return tf.concat([values, tf.gather(values, places, batch_dims=1)], axis=1)

    def all_twice(values: Tensors) -> Tensors:
        return {name: twice(one) for name, one in values.items()}

    steps, order = asked.steps, tf.where(hidden, order, 0.0)
    segments = tf.concat(
        [steps.segments, tf.where(is_there, tf.gather(steps.segments, places, batch_dims=1), 0)], axis=1
    )
    queries = tf.broadcast_to(mask, [*tf.unstack(tf.shape(places)), mask.shape[0]])
    times = steps.times_ms
    return Asked(
        Steps(
            tf.concat([steps.vectors, queries], axis=1),
            segments,
            twice(steps.places),
            None if times is None else twice(times),
            sees(segments, twice(order), length),
        ),
        twice(asked.past),
        twice(asked.ids),
        tf.concat([tf.zeros_like(hidden), is_there], axis=1),
        asked.context._replace(
            features=all_twice(asked.context.features),
            times_ms=None if asked.context.times_ms is None else twice(asked.context.times_ms),
        ),
        None if asked.before_ms is None else twice(asked.before_ms),
        all_twice(asked.predicted),
    )


def sees(segments: tf.Tensor, order: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Which step (axis 1) may look at which (axis 2); bool [rows, steps, steps].

    Args:
        segments: of all steps, those that are asked behind the first `length`. int32 [rows, steps]
        order: 0 for what is not hidden. float32 [rows, steps]
        length: int32 scalar.

    """
    number = tf.range(tf.shape(segments)[1])
    is_query = number >= length
    one, other = order[:, :, None], order[:, None, :]
    is_before = tf.where(is_query[None, :, None], other < one, other <= one)
    together = tf.equal(segments[:, :, None], segments[:, None, :])
    return (together & is_before & ~is_query[None, None, :]) | tf.equal(number[:, None], number[None, :])
