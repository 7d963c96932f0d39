r"""A Gaussian posterior for each id, around a mean that is computed from other things.

.. math:: q(x_i) = N(p_i + \delta_i,\ \mathrm{diag}\, s_i^2), \qquad x_i \sim N(p_i,\ \mathrm{diag}\, \sigma^2)

p_i is given with the request, δ, s and σ are learnt. What has no id of its own has the prior: δ = 0 and s = σ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfrec.layers import IdTable, TableConfig
from tfrec.layers.tables import look_up, normal_rows, plan_rows
from tfrec.models.posteriors.gaussian import Gaussian, divergence


class Posterior(NamedTuple):
    """Of some ids; `divergence` from the prior in nats, float [rows]."""

    vectors: Gaussian
    divergence: tf.Tensor


class PosteriorTable(tf.keras.layers.Layer):  # type: ignore[misc]
    """Rows of δ and log s by encoded id, and one log σ for all."""

    def __init__(
        self,
        name: str,
        num_ids: int,
        first_token_id: int,
        offsets: Callable[..., tf.Tensor],
        *,
        prior_stddevs: list[float],
        posterior_stddev: float,
    ) -> None:
        """Make the tables.

        Args:
            name: of the entities.
            num_ids: rows.
            first_token_id: ids from here on have a posterior of their own.
            offsets: first values of δ, as `normal_rows` gives them.
            prior_stddevs: first values of σ, one per coordinate.
            posterior_stddev: first value of s.

        """
        super().__init__(name=name)
        self._first_token_id = first_token_id
        dim = len(prior_stddevs)
        log_stddevs = normal_rows(num_ids, dim, stddev=0.0, seed=[0, 0], mean=math.log(posterior_stddev))
        self._plan = plan_rows(num_ids, TableConfig())
        self._offsets = tf.Variable(offsets, shape=[num_ids, dim], dtype=tf.float32, name=f"{name}_offsets")
        self._log_stddevs = tf.Variable(log_stddevs, shape=[num_ids, dim], dtype=tf.float32, name=f"{name}_log_stddevs")
        self._prior = tf.Variable([math.log(stddev) for stddev in prior_stddevs], name=f"{name}_prior_log_stddevs")

    @property
    def offsets(self) -> tf.Variable:
        """float32 [num_ids, dim]"""
        return self._offsets

    def call(self, ids: tf.Tensor, prior_mean: tf.Tensor) -> Posterior:
        """Posteriors of ids [rows] whose priors have these means, float [rows, dim] or a scalar."""
        is_own = (ids >= self._first_token_id)[:, None]
        offsets = tf.where(is_own, look_up(self._offsets, ids), 0.0)
        log_stddevs = tf.where(is_own, look_up(self._log_stddevs, ids), self._prior)
        return Posterior(Gaussian(prior_mean + offsets, log_stddevs), divergence(offsets, log_stddevs, self._prior))

    def id_tables(self, feature: str, content: tuple[str, ...] = ()) -> list[IdTable]:
        return [IdTable(table, feature, 0, self._plan, content=content) for table in (self._offsets, self._log_stddevs)]
