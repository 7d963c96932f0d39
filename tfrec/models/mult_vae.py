r"""Variational autoencoder with a multinomial likelihood and KL annealing (Liang et al. 2018, Mult-VAE).

.. math:: (\mu_u, \log \sigma_u^2) = h_u, \quad z_u = \mu_u + \sigma_u \odot \epsilon,\ \epsilon \sim N(0, I),

.. math:: \mathrm{penalty}_u =
   \beta_t \cdot \frac{1}{2} \sum_d \bigl(\sigma_{ud}^2 + \mu_{ud}^2 - 1 - \log \sigma_{ud}^2\bigr), \quad
   \beta_t = \beta \min\Bigl(1, \frac{t}{T}\Bigr)

t is the step and T `anneal_steps`. The penalty is the Kullback–Leibler divergence from N(0, I). Answers take z = μ. The
rest is `tfrec.models.autoencoders.multinomial`.
"""

from __future__ import annotations

from typing import ClassVar

import tensorflow as tf
from pydantic import Field

from tfrec.models.autoencoders.multinomial import NOISE_SALT, MultinomialAutoencoder, MultinomialConfig
from tfrec.models.inputs import ModelInputs


class MultVAEConfig(MultinomialConfig):
    """Choices of the variational autoencoder."""

    beta: float = Field(0.2, ge=0, description="weight of the divergence in the end; 1 is the evidence lower bound")
    anneal_steps: int = Field(
        2000, ge=0, description="T, steps in which the weight rises from 0; 0: it is there at once"
    )


class MultVAE(MultinomialAutoencoder):
    """A profile → a distribution of latent vectors → the profile."""

    Config = MultVAEConfig
    config: MultVAEConfig
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0003, 0.01)",
        "model.input_dropout": "uniform(0.2, 0.8)",
        "model.latent_dim": "[50, 100, 200]",
        "model.beta": "uniform(0, 1)",
        "model.anneal_steps": "logint(100, 20000)",
        "model.half_life": "log(1, 50)",
    }

    def __init__(self, config: MultVAEConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(config, inputs, seed, "mult_vae")

    @classmethod
    def code_dim(cls, config: MultVAEConfig) -> int:
        return 2 * config.latent_dim

    def beta_at(self, step: tf.Tensor) -> tf.Tensor:
        """β_t, a float32 scalar; `step` counts from 0."""
        if not self.config.anneal_steps:
            return tf.constant(self.config.beta, tf.float32)
        return self.config.beta * tf.minimum(tf.cast(step, tf.float32) / self.config.anneal_steps, 1.0)

    def _latent(self, code: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        mean, log_variance = tf.split(code, 2, axis=1)
        divergence = 0.5 * tf.reduce_sum(tf.exp(log_variance) + tf.square(mean) - 1.0 - log_variance, axis=1)
        if not training:
            return mean, self.config.beta * divergence
        noise = tf.random.stateless_normal(tf.shape(mean), self.draw_seed(NOISE_SALT), alg="philox")
        return mean + tf.exp(0.5 * log_variance) * noise, self.beta_at(self.steps_taken) * divergence
