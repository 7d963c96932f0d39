"""What stands for "not there" in a raw input."""

from __future__ import annotations

import tensorflow as tf


def missing_value(dtype: tf.DType) -> str | float | int:
    """The empty string, NaN or 0."""
    if dtype == tf.string:
        return ""
    return float("nan") if dtype.is_floating else 0


def is_missing(values: tf.Tensor) -> tf.Tensor:
    """Bool, as `values`."""
    if values.dtype.is_floating:
        return tf.math.is_nan(values)
    return tf.equal(values, tf.constant(missing_value(values.dtype), values.dtype))
