r"""Denoising autoencoder with a multinomial likelihood (Liang et al. 2018, Mult-DAE).

.. math:: z_u = \tanh(h_u), \quad \mathrm{penalty}_u = 0

The rest is `tfrec.models.autoencoders.multinomial`: items left out at random are to be found again from the others.
"""

from __future__ import annotations

from typing import ClassVar

import tensorflow as tf
from pydantic import Field

from tfrec.models.autoencoders.multinomial import MultinomialAutoencoder, MultinomialConfig
from tfrec.models.inputs import ModelInputs


class MultDAEConfig(MultinomialConfig):
    """Choices of the denoising autoencoder."""

    l2: float = Field(0.001, ge=0, description="λ, of all matrices; beside a loss that is summed over a user's items")


class MultDAE(MultinomialAutoencoder):
    """A profile with gaps → the whole profile."""

    Config = MultDAEConfig
    config: MultDAEConfig
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0003, 0.01)",
        "model.input_dropout": "uniform(0.2, 0.8)",
        "model.latent_dim": "[100, 200, 400]",
        "model.l2": "log(0.0001, 0.1)",
        "model.half_life": "log(1, 50)",
    }

    def __init__(self, config: MultDAEConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(config, inputs, seed, "mult_dae")

    @classmethod
    def code_dim(cls, config: MultDAEConfig) -> int:
        return config.latent_dim

    def _latent(self, code: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.tanh(code), tf.zeros(tf.shape(code)[:1])
