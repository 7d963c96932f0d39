r"""An exponential moving average of the weights (Polyak & Juditsky 1992): smoother than the last step's.

.. math:: \bar w_t = d_t\, \bar w_{t-1} + (1 - d_t)\, w_t, \qquad d_t = \min\Bigl(d, \frac{1 + t}{10 + t}\Bigr)

d starts low, so that the first weights are forgotten soon. A row of a table that no batch touches between the steps a
and b keeps its weight w, and there the recursion has a closed form,

.. math:: \bar w_b = w + (\bar w_a - w) \prod_{t=a+1}^{b} d_t ,

so the average of a row is brought up to date when the row is touched, or at the end: a step costs nothing for the
others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import tensorflow as tf


class RowAverage:
    """The average of one variable, or of one shard of it."""

    def __init__(self, shadow: tf.Variable, last: tf.Variable, decay: float) -> None:
        self._shadow = shadow
        self._last = last  # [rows], or [] of a scalar: the step up to which the average is
        self._decay = decay

    def follow(self, variable: tf.Variable, step: tf.Tensor) -> None:
        """All of the variable was updated in `step`, or may have been."""
        count = tf.cast(step, self._shadow.dtype)
        self._last.assign(tf.fill(self._last.shape, count))
        decay = tf.minimum(self._decay, (1.0 + count) / (10.0 + count))
        self._shadow.assign_add((1.0 - decay) * (variable - self._shadow))

    def catch_up(self, variable: tf.Variable, rows: tf.Tensor, step: tf.Tensor) -> None:
        """Bring rows, whose weights are about to change, up to `step`."""
        forgotten = self._kept_share(tf.gather(self._last, rows), step)
        value = tf.gather(variable, rows)
        shadow = value + (tf.gather(self._shadow, rows) - value) * _beside(forgotten, value)
        self._shadow.scatter_update(tf.IndexedSlices(shadow, rows))
        self._last.scatter_update(tf.IndexedSlices(tf.fill(tf.shape(rows), tf.cast(step, self._last.dtype)), rows))

    def swap(self, variable: tf.Variable, step: tf.Tensor) -> None:
        """Exchange weights and average, the latter brought up to `step`."""
        value = tf.identity(variable)
        kept = self._kept_share(self._last, step)
        average = value + (self._shadow - value) * _beside(kept, value)
        self._last.assign(tf.fill(self._last.shape, tf.cast(step, self._last.dtype)))
        self._shadow.assign(value)
        variable.assign(average)

    def swap_back(self, variable: tf.Variable) -> None:
        average = tf.identity(variable)
        variable.assign(self._shadow)
        self._shadow.assign(average)

    def _kept_share(self, since: tf.Tensor, until: tf.Tensor) -> tf.Tensor:
        """Π d_t over since < t ≤ until."""
        return tf.exp(self._log_product(until) - self._log_product(since))

    def _log_product(self, step: tf.Tensor) -> tf.Tensor:
        """Σ_{t=1}^{step} log d_t, float64. While the decay rises, Σ log(1 + t) − log(10 + t) telescopes."""
        rising = max(math.floor((10 * self._decay - 1) / (1 - self._decay)), 0)
        count = tf.cast(step, tf.float64)
        early = tf.minimum(count, float(rising))
        product = math.log(math.factorial(10)) - tf.add_n([tf.math.log(early + float(k)) for k in range(2, 11)])
        return product + (count - early) * math.log(self._decay)


class WeightAverage:
    """The averages of all variables of a model."""

    def __init__(self, decay: float) -> None:
        """Make an average that forgets a weight by `decay`, in (0, 1), with every step."""
        self.decay = decay
        self._averages: list[RowAverage] = []

    def build(
        self,
        variables: Sequence[tf.Variable],
        add: Callable[..., tf.Variable],
    ) -> None:
        """Make the shadows.

        Args:
            variables: what is averaged.
            add: `add(variable, name, shape, initial_value)` makes a variable beside another.

        """
        self._averages = []
        for variable in variables:
            shadow = add(variable, "average", initial_value=variable)
            last = add(variable, "averaged_until", initial_value=tf.zeros(variable.shape[:1]))
            self._averages.append(RowAverage(shadow, last, self.decay))

    def of(self, index: int) -> RowAverage:
        return self._averages[index]

    def put_in_place(self, variables: Sequence[tf.Variable], step: tf.Tensor) -> None:
        """Put the averages in the place of the weights; `restore` puts the weights back."""
        for average, variable in zip(self._averages, variables, strict=True):
            average.swap(variable, step)

    def restore(self, variables: Sequence[tf.Variable]) -> None:
        for average, variable in zip(self._averages, variables, strict=True):
            average.swap_back(variable)


def _beside(share: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """A number per row (or one for all), shaped to be multiplied with the rows' weights."""
    share = tf.cast(share, value.dtype)
    return tf.reshape(share, [-1] + [1] * (value.shape.rank - 1)) if share.shape.rank else share
