"""The ids of crosses: from the encoded ids of their parts to one id for each combination."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

# An odd number without pattern, and the two of SplitMix64 (Steele et al. 2014, figure 16), as signed int64.
_STEP = -7046029254386353131  # 0x9E3779B97F4A7C15
_FIRST = -4658895280553007687  # 0xBF58476D1CE4E5B9
_SECOND = -7723592293110705685  # 0x94D049BB133111EB


def cross_ids(parts: Sequence[tf.Tensor], hash_buckets: int) -> tf.Tensor:
    r"""Hash each combination of ids.

    .. math:: h_0 = 0, \quad h_j = \mathrm{mix}(h_{j-1} + (x_j + 1) \cdot c), \quad
              \mathrm{id} = 1 + \lfloor \mathrm{upper}(h_n) \cdot \mathrm{buckets} / 2^{32} \rfloor

    mix is the finaliser of SplitMix64, upper the upper 32 bits, and all integers are modulo 2^64: what Python, the
    training graph and the exported one compute is the same on every machine.

    Args:
        parts: ids of each feature of the cross, in its order; int64 [batch], or for one of them [batch, width].
        hash_buckets: ids that the combinations share, below 2^31.

    Returns:
        int64 of the widest part's shape: 1 … hash_buckets; 0 where any part is 0.

    """
    rank = max(part.shape.rank for part in parts)
    columns = [part if part.shape.rank == rank else part[:, None] for part in parts]
    mixed, is_complete = tf.constant(0, tf.int64), tf.constant(True)
    for column in columns:
        mixed = _mix(mixed + (column + 1) * _STEP)
        is_complete = is_complete & (column != 0)
    place = tf.bitwise.right_shift(_shifted(mixed, 32) * hash_buckets, tf.constant(32, tf.int64))
    return tf.where(is_complete, place + 1, tf.zeros_like(place))


def _mix(values: tf.Tensor) -> tf.Tensor:
    values = tf.bitwise.bitwise_xor(values, _shifted(values, 30)) * _FIRST
    values = tf.bitwise.bitwise_xor(values, _shifted(values, 27)) * _SECOND
    return tf.bitwise.bitwise_xor(values, _shifted(values, 31))


def _shifted(values: tf.Tensor, bits: int) -> tf.Tensor:
    """To the right, with zeros from the left: of a signed integer copies of the sign would come in."""
    unsigned = tf.bitcast(values, tf.uint64)
    return tf.bitcast(tf.bitwise.right_shift(unsigned, tf.constant(bits, tf.uint64)), tf.int64)
