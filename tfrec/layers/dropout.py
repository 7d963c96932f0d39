"""Dropout whose masks depend on a seed alone, so that a resumed run drops what the uninterrupted one would have."""

from __future__ import annotations

import tensorflow as tf


def dropout(values: tf.Tensor, rate: float, seed: tf.Tensor | None) -> tf.Tensor:
    """Set a share `rate` of the values to 0 and scale the others by 1 / (1 − rate) (Srivastava et al. 2014).

    Args:
        values: of any shape.
        rate: in [0, 1).
        seed: int32 [2]; None outside of training, when nothing is dropped.

    """
    if seed is None or not rate:
        return values
    # By default the generator, and so the mask, would differ between CPU and GPU.
    return tf.nn.experimental.stateless_dropout(values, rate, seed=seed, rng_alg="philox")
