"""An exponential moving average of the weights (Polyak & Juditsky 1992): smoother than the last step's."""

from __future__ import annotations

import tensorflow as tf


class WeightAverage(tf.Module):
    r"""Shadow weights, :math:`\bar w \leftarrow d\,\bar w + (1 - d)\,w` after every step.

    d starts low and rises to `decay`, min(decay, (1 + t) / (10 + t)), so that the first weights are forgotten soon.
    """

    def __init__(self, variables: list[tf.Variable], decay: float) -> None:
        super().__init__(name="weight_average")
        self._variables = variables
        self._shadow = [tf.Variable(variable, trainable=False) for variable in variables]
        self._kept = [tf.Variable(variable, trainable=False) for variable in variables]
        self._decay = decay
        self._steps = tf.Variable(0.0, trainable=False)

    @tf.function
    def update(self) -> None:
        self._steps.assign_add(1.0)
        decay = tf.minimum(self._decay, (1.0 + self._steps) / (10.0 + self._steps))
        for shadow, variable in zip(self._shadow, self._variables, strict=True):
            shadow.assign_add((1.0 - decay) * (variable - shadow))

    @tf.function
    def put_in_place(self) -> None:
        """Keep the trained weights aside and put the average in their place."""
        for kept, shadow, variable in zip(self._kept, self._shadow, self._variables, strict=True):
            kept.assign(variable)
            variable.assign(shadow)

    @tf.function
    def restore(self) -> None:
        """Put the trained weights back, to go on with them."""
        for kept, variable in zip(self._kept, self._variables, strict=True):
            variable.assign(kept)
