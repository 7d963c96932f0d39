"""What a resumed run must remember besides weights and optimiser."""

from __future__ import annotations

import math

import tensorflow as tf


class State(tf.Module):
    """Where training stands. Random numbers and the order of the rows follow from it and the seed."""

    def __init__(self, *, lower_is_better: bool) -> None:
        super().__init__(name="state")

        def number(first: float, dtype: tf.DType) -> tf.Variable:
            return tf.Variable(first, dtype=dtype, trainable=False)

        self.epoch = number(0, tf.int64)  # finished ones
        self.step_in_epoch = number(0, tf.int64)  # of the epoch that runs
        self.step = number(0, tf.int64)  # of all epochs
        self.loss_sum = number(0.0, tf.float64)  # over the steps of the epoch that runs
        self.best = number(math.inf if lower_is_better else -math.inf, tf.float64)
        self.best_epoch = number(0, tf.int64)
        self.is_done = number(False, tf.bool)
        self.seconds = number(0.0, tf.float64)  # of training steps
        self.timed_seconds = number(0.0, tf.float64)  # of these, without the calls in which TensorFlow traced them
        self.timed_rows = number(0, tf.int64)
