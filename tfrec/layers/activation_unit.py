r"""How much a past event says about a candidate (Zhou et al. 2018, Deep Interest Network, figure 2 right).

.. math:: a(h, c) = w^\top \mathrm{PReLU}(\dots \mathrm{PReLU}(W\,[h;\, c;\, h - c;\, h \odot c] + b) \dots) + \beta
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


class ActivationUnit(tf.keras.layers.Layer):  # type: ignore[misc]
    """A small network on the event, the candidate, their difference and their product."""

    def __init__(self, inputs: int, units: Sequence[int], *, share: float, seed: int) -> None:
        """Make the layers.

        Args:
            inputs: width of an event and of a candidate.
            units: widths of the hidden layers, one at least.
            share: β at the start, what an event counts before anything is learnt.
            seed: of the kernels (Glorot uniform).

        """
        super().__init__(name="activation_unit")
        self.kernels: list[tf.Variable] = []
        self.biases: list[tf.Variable] = []
        self.slopes: list[tf.Variable] = []
        for index, (rows, columns) in enumerate(zip([4 * inputs, *units], [*units, 1], strict=True)):
            limit = (6.0 / (rows + columns)) ** 0.5
            initial = tf.random.stateless_uniform([rows, columns], [seed, index], -limit, limit)
            self.kernels.append(tf.Variable(initial, name=f"activation_unit/kernel_{index}"))
            first = 0.0 if index < len(units) else share
            self.biases.append(tf.Variable(tf.fill([columns], first), name=f"activation_unit/bias_{index}"))
        for index, columns in enumerate(units):
            self.slopes.append(tf.Variable(tf.fill([columns], 0.25), name=f"activation_unit/slope_{index}"))

    def call(self, events: tf.Tensor, candidates: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        """Weigh events.

        Args:
            events: vectors. float [events, inputs]
            candidates: one for each row of the batch. float [batch, inputs]
            row: of each event. int32 [events]

        Returns:
            float [events].

        """
        # W [h; c; h − c; h ⊙ c] taken apart: what of it depends on the candidate alone is computed once for each row.
        of_event, of_candidate, of_difference, of_product = tf.split(self.kernels[0], 4, axis=0)
        by_row = tf.matmul(candidates, of_candidate - of_difference) + self.biases[0]
        values = tf.matmul(events, of_event + of_difference) + tf.gather(by_row, row)
        values += tf.matmul(events * tf.gather(candidates, row), of_product)
        for kernel, bias, slope in zip(self.kernels[1:], self.biases[1:], self.slopes, strict=True):
            values = tf.matmul(tf.maximum(values, 0) + slope * tf.minimum(values, 0), kernel) + bias
        return tf.reshape(values, [-1])
