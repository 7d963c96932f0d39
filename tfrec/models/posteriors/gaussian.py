r"""Independent Gaussians as approximate posteriors of vectors, and the scores that their dot products have.

With a ~ N(m, diag s²) and b ~ N(n, diag t²) independent of each other,

.. math:: E[a \cdot b] = m \cdot n, \qquad
   \mathrm{Var}[a \cdot b] = \sum_d \bigl(s_d^2 n_d^2 + m_d^2 t_d^2 + s_d^2 t_d^2\bigr)
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

VARIANCE_FLOOR = 1e-12  # below it a square root has no usable gradient, and rounding may make a variance negative


class Gaussian(NamedTuple):
    """One Gaussian per row, each coordinate by itself.

    Attributes:
        mean: float [rows, dim].
        log_stddev: float [rows, dim].

    """

    mean: tf.Tensor
    log_stddev: tf.Tensor

    @property
    def variance(self) -> tf.Tensor:
        return tf.exp(2.0 * self.log_stddev)

    def draw(self, seed: tf.Tensor) -> tf.Tensor:
        """Mean + stddev · ε with ε ~ N(0, I), so that gradients reach both; `seed` int [2]. float [rows, dim]"""
        noise = tf.random.stateless_normal(tf.shape(self.mean), seed, dtype=self.mean.dtype, alg="philox")
        return self.mean + tf.exp(self.log_stddev) * noise


def divergence(offset: tf.Tensor, log_stddev: tf.Tensor, prior_log_stddev: tf.Tensor) -> tf.Tensor:
    r"""Kullback–Leibler divergence of N(p + offset, s²) from the prior N(p, σ²), whatever p is.

    .. math:: \sum_d \log \frac{\sigma_d}{s_d} + \frac{s_d^2 + \mathrm{offset}_d^2}{2 \sigma_d^2} - \frac{1}{2}

    Args:
        offset: of the mean. float [rows, dim]
        log_stddev: float [rows, dim].
        prior_log_stddev: float [dim].

    Returns:
        float [rows], in nats.

    """
    ratio = log_stddev - prior_log_stddev
    scaled = tf.square(offset * tf.exp(-prior_log_stddev))
    return tf.reduce_sum(0.5 * (tf.exp(2.0 * ratio) + scaled - 1.0) - ratio, axis=1)


def score_variances(rows: Gaussian, means: tf.Tensor, variances: tf.Tensor) -> tf.Tensor:
    """Variance of the dot product of each row with each of the columns. float [rows, columns]

    Args:
        rows: [rows, dim].
        means: of the columns. float [columns, dim]
        variances: of the columns. float [columns, dim]

    """
    second_moments = tf.square(rows.mean) + rows.variance
    of_rows = tf.matmul(rows.variance, tf.square(means), transpose_b=True)
    return of_rows + tf.matmul(second_moments, variances, transpose_b=True)


def draw_scores(rows: Gaussian, means: tf.Tensor, variances: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Dot products of one draw per row with a draw of all columns made anew for each row. float [rows, columns]

    Given the row's vector the scores of different columns are independent Gaussians: so they are drawn themselves
    instead of the columns' vectors, which would be dim times as many numbers.

    Args:
        rows: [rows, dim].
        means: of the columns. float [columns, dim]
        variances: of the columns. float [columns, dim]
        seed: int [2].

    """
    seeds = tf.random.experimental.stateless_split(seed, 2)
    drawn = rows.draw(seeds[0])
    expected = tf.matmul(drawn, means, transpose_b=True)
    left = tf.matmul(tf.square(drawn), variances, transpose_b=True)
    return Gaussian(expected, 0.5 * tf.math.log(tf.maximum(left, VARIANCE_FLOOR))).draw(seeds[1])
