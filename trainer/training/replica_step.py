"""One gradient step on one replica."""

from __future__ import annotations

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.models.learning import GradientModel
from tfrec.replicas import share
from tfrec.row_sums import compiled_by_xla


class ReplicaStep:
    """Loss, gradients, update; the optimiser adds the gradients of all replicas up."""

    def __init__(self, model: GradientModel, optimizer: tf.keras.optimizers.Optimizer, *, xla: bool = False) -> None:
        """Prepare.

        Args:
            model: its `compute_loss` gives every replica its share of the loss.
            optimizer: built.
            xla: compile the step.

        """
        self._model = model
        self._optimizer = optimizer
        self._is_scaled = isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer)
        self._step = tf.function(self._take_compiled, jit_compile=True, autograph=False) if xla else self._take

    def __call__(self, batch: Tensors) -> tf.Tensor:
        """Take the step; return this replica's share of the loss, a scalar."""
        return self._step(batch)

    def _take_compiled(self, batch: Tensors) -> tf.Tensor:
        with compiled_by_xla():
            return self._take(batch)

    def _take(self, batch: Tensors) -> tf.Tensor:
        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            loss = self._model.compute_loss(batch, training=True)
            if self._model.losses:
                loss += share(tf.add_n(self._model.losses))
            scaled = self._optimizer.get_scaled_loss(loss) if self._is_scaled else loss
        gradients = tape.gradient(scaled, variables)
        if self._is_scaled:
            gradients = self._optimizer.get_unscaled_gradients(gradients)
        self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss
