"""A multi-layer perceptron as rankers use it."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def mlp(units: Sequence[int], *, input_dropout: float, dropout: float, l2: float, seed: int) -> tf.keras.Sequential:
    """Dense ReLU layers with dropout behind each, then one linear output: float [batch, n] → float [batch, 1].

    `l2` weighs half the squared norm of every kernel; Keras adds it to the loss.
    """
    keras = tf.keras
    layers = [keras.layers.Dropout(input_dropout, seed=seed)] if input_dropout else []
    for index, width in enumerate([*units, 1]):
        is_output = index == len(units)
        layers.append(
            keras.layers.Dense(
                width,
                activation=None if is_output else "relu",
                kernel_initializer=keras.initializers.GlorotUniform(seed=seed + index),
                kernel_regularizer=keras.regularizers.L2(l2 / 2) if l2 else None,
                name=f"dense_{index}",
            )
        )
        if dropout and not is_output:
            layers.append(keras.layers.Dropout(dropout, seed=seed + index + 1))
    return keras.Sequential(layers, name="mlp")
