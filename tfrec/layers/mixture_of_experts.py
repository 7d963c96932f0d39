"""Experts that several tasks share, and a gate for each task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import tensorflow as tf

from tfrec.layers.id_tables import IdTable, fixed_rows


class MixtureOfExperts(tf.keras.layers.Layer):  # type: ignore[misc]
    r"""Multi-gate mixture of experts (Ma et al. 2018, eq. 6–8).

    .. math:: f^k(x) = \sum_i g^k(x)_i f_i(x), \qquad g^k(x) = \mathrm{softmax}(W_{gk} x)

    The experts f_i are ReLU layers on the same input. With one expert all gates are 1: the shared bottom (eq. 1).
    """

    def __init__(self, inputs: int, units: Sequence[int], *, experts: int, tasks: int, seed: int) -> None:
        """Make the layers.

        Args:
            inputs: width of the input.
            units: widths of an expert's layers, at least one.
            experts: how many.
            tasks: how many gates.
            seed: of the kernels (Glorot uniform).

        """
        super().__init__(name="mixture_of_experts")
        self._experts, self._tasks = experts, tasks
        # Experts stand side by side in the first kernel, whose rows are those of the input.
        first = _glorot([inputs, experts * units[0]], inputs + units[0], [seed, 0])
        kernels = [tf.Variable(first, name="experts/kernel_0")]
        for index, (rows, columns) in enumerate(pairwise(units), start=1):
            initial = _glorot([experts, rows, columns], rows + columns, [seed, index])
            kernels.append(tf.Variable(initial, name=f"experts/kernel_{index}"))
        biases = [tf.Variable(tf.zeros([experts, width]), name=f"experts/bias_{at}") for at, width in enumerate(units)]
        self.kernels: list[tf.Variable] = kernels
        self.biases: list[tf.Variable] = biases
        self.gates: tf.Variable | None = None
        if experts > 1:
            initial = _glorot([inputs, tasks * experts], inputs + experts, [seed, len(units)])
            self.gates = tf.Variable(initial, name="experts/gates")

    def call(self, values: tf.Tensor, compute_type: tf.DType = tf.float32) -> list[tf.Tensor]:
        """Float [batch, inputs] → f^k, float32 [batch, last of units], for each task.

        Args:
            values: the input.
            compute_type: of the experts' matrix products; gates are float32.

        """
        hidden = tf.matmul(tf.cast(values, compute_type), tf.cast(self.kernels[0], compute_type))
        hidden = tf.reshape(hidden, [-1, self._experts, self.biases[0].shape[1]])
        hidden = tf.nn.relu(tf.cast(hidden, tf.float32) + self.biases[0])
        for kernel, bias in zip(self.kernels[1:], self.biases[1:], strict=True):
            product = tf.einsum("bei,eio->beo", tf.cast(hidden, compute_type), tf.cast(kernel, compute_type))
            hidden = tf.nn.relu(tf.cast(product, tf.float32) + bias)
        if self.gates is None:
            return [hidden[:, 0]] * self._tasks
        gates = tf.reshape(tf.matmul(values, self.gates), [-1, self._tasks, self._experts])
        return tf.unstack(tf.matmul(tf.nn.softmax(gates), hidden), num=self._tasks, axis=1)

    def id_tables(self, placed: Iterable[tuple[int, str]], dim: int) -> list[IdTable]:
        """Which rows belong to which fields of the input, given place and name of each; all are `dim` wide."""
        fields, tables = list(placed), [self.kernels[0], *([] if self.gates is None else [self.gates])]
        return [fixed_rows(table, name, at * dim, dim) for table in tables for at, name in fields]


def _glorot(shape: list[int], both_sides: int, seed: list[int]) -> tf.Tensor:
    limit = (6.0 / both_sides) ** 0.5
    return tf.random.stateless_uniform(shape, seed, -limit, limit)
