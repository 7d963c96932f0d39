r"""Scores that show what is uncertain now and then, so that something is learnt about it.

- `ucb`, upper confidence bounds (Auer 2002): :math:`E[s] + c \sqrt{\mathrm{Var}[s]}`;
- `thompson` (Thompson 1933; Chapelle & Li 2011): :math:`E[s] + c\,(\tilde s - E[s])` with a draw s̃ of the posterior,
  another one for each request.
"""

from __future__ import annotations

from typing import Literal

import tensorflow as tf
from pydantic import Field

from tfrec.config_file import Config
from tfrec.models.learning import frozen_variable
from tfrec.models.posteriors.gaussian import VARIANCE_FLOOR, Gaussian, draw_scores, score_variances

PHILOX = 1


class ExplorationConfig(Config):
    """Whether the scores are the expected ones."""

    kind: Literal["none", "thompson", "ucb"] = Field(
        "none",
        description="none: the expected scores; thompson: a draw of the posterior per request; ucb: the expected "
        "scores and some standard deviations",
    )
    strength: float = Field(1.0, gt=0, description="c: 1 draws from the posterior itself; ucb: standard deviations")


class Explorer(tf.Module):
    """Posterior of the vectors → scores.

    Draws follow from a counter in a variable, which goes on with every call and is exported with the model: they are
    others in every request, and yet the same when a job is run again. Each server that loads an export begins with the
    same draws.
    """

    def __init__(self, config: ExplorationConfig, seed: int) -> None:
        super().__init__(name="explorer")
        self._config = config
        self._counter: tf.Variable | None = None
        if config.kind == "thompson":
            counter = frozen_variable(tf.constant([0, 0, seed], tf.int64), "draws")
            # Under a strategy of several replicas: one of the copies, as requests have but one counter.
            self._counter = tf.distribute.get_strategy().experimental_local_results(counter)[0]

    @property
    def state(self) -> list[tf.Variable]:
        return [] if self._counter is None else [self._counter]

    def scores(self, users: Gaussian, means: tf.Tensor, variances: tf.Tensor) -> tf.Tensor:
        """Scores of all items.

        Args:
            users: [batch, dim].
            means: of the items. float32 [num_items, dim]
            variances: of the items. float32 [num_items, dim]

        Returns:
            float32 [batch, num_items].

        """
        expected = tf.matmul(users.mean, means, transpose_b=True)
        if self._config.kind == "none":
            return expected
        if self._config.kind == "ucb":
            spread = score_variances(users, means, variances)
            return expected + self._config.strength * tf.sqrt(tf.maximum(spread, VARIANCE_FLOOR))
        drawn = draw_scores(users, means, variances, self._next_seed())
        return expected + self._config.strength * (drawn - expected)

    def _next_seed(self) -> tf.Tensor:
        """int64 [2], another one at every call."""
        assert self._counter is not None
        # Reads and advances in one operation: requests at the same time get different draws.
        before = tf.raw_ops.RngReadAndSkip(
            resource=self._counter.handle, alg=tf.constant(PHILOX), delta=tf.constant(1, tf.uint64)
        )
        return tf.stack([before[2], before[0]])
