"""Draws of the units of a Boltzmann machine, and the chain that goes from hidden to visible units and back."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def gibbs_chain(
    at_data: tf.Tensor,
    visible: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    activation: Callable[[tf.Tensor], tf.Tensor],
    steps: tf.Tensor | int,
    seed: tf.Tensor,
) -> tf.Tensor:
    """States of the hidden units from which the visible units of the last step follow; no gradient goes through them.

    Args:
        at_data: activations of the hidden units at the data. float32 [batch, units]
        visible: states of the hidden units and a seed → drawn visible units.
        activation: visible units → activations of the hidden units.
        steps: at least 1; a number, or a scalar of the graph.
        seed: int32 [2].

    Returns:
        0 or 1. float32 [batch, units]

    """
    fold_in = tf.random.experimental.stateless_fold_in

    def step(number: tf.Tensor, hidden: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        found = visible(hidden, fold_in(seed, 2 * number - 1))
        return number + 1, drawn_units(activation(found), fold_in(seed, 2 * number))

    hidden = drawn_units(tf.stop_gradient(at_data), fold_in(seed, 0))
    if not (isinstance(steps, int) and steps == 1):
        _, hidden = tf.while_loop(lambda number, _: number < steps, step, (tf.constant(1), hidden))
    return tf.stop_gradient(hidden)


def drawn_units(activation: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """1 with probability σ(activation), else 0; of the shape of the activations. float32"""
    drawn = tf.random.stateless_uniform(tf.shape(activation), seed, alg="philox")
    return tf.cast(drawn < tf.sigmoid(activation), tf.float32)


def drawn_levels(logits: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A level of each row of logits [n, levels], with the probabilities of their softmax. int64 [n]"""
    drawn = tf.random.stateless_uniform(tf.shape(logits)[:1], seed, alg="philox")
    below = tf.cumsum(tf.nn.softmax(logits), axis=1)[:, :-1]
    return tf.reduce_sum(tf.cast(drawn[:, None] >= below, tf.int64), axis=1)
