r"""The age of a training example: how long before the newest one it happened (Covington et al. 2016, section 3.3).

.. math:: a = \frac{t_\text{newest} - t}{t_\text{newest} - t_\text{oldest}}

It lets a model tell what was true then from what is true at the end of training, which is where it is asked: a = 0.
"""

from __future__ import annotations

import tensorflow as tf

from tfrec.errors import ConfigError
from tfrec.models.inputs import ModelInputs
from tfrec.schema import Temporal

AGE_WIDTH = 3  # a, √a and a², as the paper gives numbers to a network


class ExampleAge:
    """Times of training examples → columns for a network."""

    def __init__(self, newest_ms: int, oldest_ms: int) -> None:
        self._newest_ms = newest_ms
        self._span_ms = max(newest_ms - oldest_ms, 1)

    @classmethod
    def of(cls, wanted: bool | None, inputs: ModelInputs) -> ExampleAge | None:
        """Ages relative to the training events, or None where they are not wanted.

        Args:
            wanted: None: where the dataset is split by time. Elsewhere what is asked about may lie long before the end
                of training, and an age of 0 would be wrong for it.
            inputs: of the model.

        Raises:
            ConfigError: they are wanted, and the dataset has no timestamp.

        """
        if wanted is None:
            wanted = isinstance(inputs.schema.split, Temporal)
        if not wanted:
            return None
        times = None if inputs.schema.timestamp is None else inputs.train.times_ms
        if times is None or not len(times):
            raise ConfigError(
                "model.example_age=true: the dataset has no timestamp to tell ages by; set it to false or null, or add "
                "a timestamp to dataset.yaml"
            )
        return cls(int(times.max()), int(times.min()))

    def __call__(self, times_ms: tf.Tensor | None, batch: tf.Tensor) -> tf.Tensor:
        """Float32 [batch, AGE_WIDTH]: a, √a, a²; zeros where there are no times, because the model answers now.

        Args:
            times_ms: Unix times of the examples, int64 [batch], or None.
            batch: how many rows.

        """
        if times_ms is None:
            return tf.zeros([batch, AGE_WIDTH])
        # Nothing is newer than the newest of training; the difference is taken before float32 rounds it.
        age = tf.cast(tf.maximum(self._newest_ms - times_ms, 0), tf.float32) / float(self._span_ms)
        return tf.stack([age, tf.sqrt(age), age * age], axis=1)
