r"""A gated recurrent unit over a sequence (GRU4Rec, Hidasi et al. 2016; the cell of Cho et al. 2014).

.. math:: z = \sigma(x W_z + h U_z + b_z), \quad r = \sigma(x W_r + h U_r + b_r), \quad
          n = \tanh(x W_n + b_n + r \circ (h U_n + c_n)), \qquad h' = (1 - z) \circ n + z \circ h

The state is 0 where a segment starts. All inputs are multiplied at once; the loop over the steps does what has to wait
for the state before, and its gradient is written out: it runs the loop backwards, and sums up the matrix afterwards in
one product.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import tensorflow as tf
from pydantic import Field

from tfrec.layers.byte_dropout import kept_shares
from tfrec.layers.rms_norm import rms_norm
from tfrec.models.sequences.encoder import EncoderConfig, Mode, SequenceEncoder, Steps


class GruConfig(EncoderConfig):
    """Layers of gated recurrent units."""

    kind: Literal["gru"] = "gru"
    layers: int = Field(1, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1, description="of the steps' vectors, and of each layer's outputs")

    def activations(self, dim: int, length: int) -> int:
        return self.layers * 10 * dim


class GruEncoder(SequenceEncoder):
    """Stacked recurrent layers as wide as the steps, and a normalisation behind the last."""

    def __init__(self, config: GruConfig, dim: int, length: int, seed: int, *, is_causal: bool = True) -> None:
        super().__init__(name="gru_encoder")
        self._config, self._dim = config, dim
        stddev = dim**-0.5
        self.kernels: list[tf.Variable] = []
        self.recurrent: list[tf.Variable] = []
        self.biases: list[tf.Variable] = []
        self.state_biases: list[tf.Variable] = []
        for number in range(config.layers):
            for place, (matrices, name) in enumerate(((self.kernels, "kernel"), (self.recurrent, "recurrent"))):
                drawn = tf.random.stateless_normal([dim, 3 * dim], [seed, 2 * number + place], stddev=stddev)
                matrices.append(tf.Variable(drawn, name=f"gru_{name}_{number}"))
            self.biases.append(tf.Variable(tf.zeros([3 * dim]), name=f"gru_bias_{number}"))
            self.state_biases.append(tf.Variable(tf.zeros([dim]), name=f"gru_state_bias_{number}"))
        self.norm_output = tf.Variable(tf.ones([dim]), name="norm_output")

    def encode(self, steps: Steps, mode: Mode) -> tf.Tensor:
        rows, length = tf.unstack(tf.shape(steps.segments))
        masks: list[tf.Tensor | None] = [None] * (1 + self._config.layers)
        if mode.seed is not None and self._config.dropout:
            shape = tf.stack([length, rows, self._dim])
            masks = list(kept_shares(len(masks), shape, self._config.dropout, mode.seed))
        # Steps first: the loop reads one after the other. A state is kept where a step goes on with its segment.
        values = _dropped(tf.transpose(steps.vectors, [1, 0, 2]), masks[0])
        goes_on = tf.cast(tf.transpose(steps.places) > 0, tf.float32)[:, :, None]
        for number in range(self._config.layers):
            flat = tf.cast(tf.reshape(values, [-1, self._dim]), mode.compute_type)
            projected = tf.matmul(flat, tf.cast(self.kernels[number], mode.compute_type))
            gates = tf.cast(projected, tf.float32) + self.biases[number]
            gates = tf.reshape(gates, [length, rows, 3 * self._dim])
            states = scan(gates, goes_on, self.recurrent[number], self.state_biases[number])
            values = _dropped(states, masks[1 + number])
        return tf.transpose(rms_norm(values, self.norm_output), [1, 0, 2])

    def summarise(self, steps: Steps, last: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.encode(steps, Mode()), last, batch_dims=1)


def scan(inputs: tf.Tensor, goes_on: tf.Tensor, recurrent: tf.Tensor, state_bias: tf.Tensor) -> tf.Tensor:
    """States of a recurrent layer.

    Args:
        inputs: x W + b of update gate, reset gate and candidate. float32 [length, rows, 3 · dim]
        goes_on: 0 where a segment starts, else 1. float32 [length, rows, 1]
        recurrent: U of the same three. float32 [dim, 3 · dim]
        state_bias: c_n. float32 [dim]

    Returns:
        float32 [length, rows, dim].

    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(x: tf.Tensor, u: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
        states, befores, gates = _forwards(x, goes_on, u, c)
        return states, lambda upstream: _backwards(upstream, befores, gates, goes_on, u)

    return run(inputs, recurrent, state_bias)


def _forwards(x: tf.Tensor, goes_on: tf.Tensor, u: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """States, those that each step started from, and (z, r, n, h U_n + c_n) of each step side by side."""
    length, rows, dim = tf.shape(x)[0], tf.shape(x)[1], u.shape[0]

    def step(number: tf.Tensor, state: tf.Tensor, *kept: tf.TensorArray) -> tuple[tf.Tensor | tf.TensorArray, ...]:
        before = state * goes_on[number]
        given, recalled = x[number], tf.matmul(before, u)
        update, reset = tf.split(tf.sigmoid(given[:, : 2 * dim] + recalled[:, : 2 * dim]), 2, axis=1)
        shown = recalled[:, 2 * dim :] + c
        new = tf.tanh(given[:, 2 * dim :] + reset * shown)
        state = new + update * (before - new)
        values = (state, before, tf.concat([update, reset, new, shown], axis=1))
        return number + 1, state, *(array.write(number, value) for array, value in zip(kept, values, strict=True))

    arrays = [tf.TensorArray(tf.float32, length, element_shape=[None, width]) for width in (dim, dim, 4 * dim)]
    start = (0, tf.zeros([rows, dim]), *arrays)
    found = tf.while_loop(lambda number, *_: number < length, step, start, parallel_iterations=1)
    states, befores, gates = (array.stack() for array in found[2:])
    return states, befores, gates


def _backwards(
    upstream: tf.Tensor, befores: tf.Tensor, gates: tf.Tensor, goes_on: tf.Tensor, u: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Gradients by inputs, U and c_n."""
    length, dim = tf.shape(upstream)[0], u.shape[0]

    def step(number: tf.Tensor, later: tf.Tensor, *kept: tf.TensorArray) -> tuple[tf.Tensor | tf.TensorArray, ...]:
        by_state = upstream[number] + later
        update, reset, new, shown = tf.split(gates[number], 4, axis=1)
        by_new = by_state * (1.0 - update) * (1.0 - tf.square(new))
        by_update = by_state * (befores[number] - new) * update * (1.0 - update)
        by_reset = by_new * shown * reset * (1.0 - reset)
        by_shown = by_new * reset
        by_recalled = tf.concat([by_update, by_reset, by_shown], axis=1)
        earlier = (by_state * update + tf.matmul(by_recalled, u, transpose_b=True)) * goes_on[number]
        by_input = tf.concat([by_update, by_reset, by_new], axis=1)
        return (
            number - 1,
            earlier,
            kept[0].write(number, by_input),
            kept[1].write(number, by_recalled),
        )

    arrays = [tf.TensorArray(tf.float32, length, element_shape=[None, 3 * dim]) for _ in range(2)]
    start = (length - 1, tf.zeros_like(upstream[0]), *arrays)
    found = tf.while_loop(lambda number, *_: number >= 0, step, start, parallel_iterations=1)
    by_input, by_recalled = (array.stack() for array in found[2:])
    flat = tf.reshape(by_recalled, [-1, 3 * dim])
    by_matrix = tf.matmul(tf.reshape(befores, [-1, dim]), flat, transpose_a=True)
    return by_input, by_matrix, tf.reduce_sum(flat[:, 2 * dim :], axis=0)


def _dropped(values: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    return values if mask is None else values * mask
