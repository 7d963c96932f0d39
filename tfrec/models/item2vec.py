r"""item2vec and prod2vec: word2vec over users' items (Barkan & Koenigstein 2016; Grbovic et al. 2015).

Skip-gram predicts the context of an item from the item, a continuous bag of words an item from the mean of its context
(Mikolov et al. 2013), by negative sampling with P_n ∝ count^α:

.. math:: L_\text{skip-gram} = -\log \sigma(v_i \cdot t_j) - \sum_k \log \sigma(-v_i \cdot t_{n_k}), \qquad
          L_\text{cbow} = -\log \sigma(\bar v_{N(i)} \cdot t_i) - \sum_k \log \sigma(-\bar v_{N(i)} \cdot t_{n_k})

v are input and t output vectors; i, j and N(i) as `tfrec.models.sentences.contexts` draws them. `window: null` takes
all items of the user for the context, in any order: item2vec. A number takes the neighbours in time: prod2vec. How a
user is answered stands in `tfrec.models.sentences.skip_gram`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.models.inputs import ModelInputs
from tfrec.models.sentences.skip_gram import CENTRES_SALT, SkipGramConfig, SkipGramModel
from tfrec.schema import USER_INDEX


class Item2VecConfig(SkipGramConfig):
    """Choices of item2vec."""

    architecture: Literal["skip_gram", "cbow"] = Field(
        "skip_gram",
        description="skip_gram: an item predicts its context; cbow: the mean of the context predicts the item, of the "
        "whole window or, where that is null, of the drawn events",
    )


class Item2Vec(SkipGramModel):
    """Item vectors of co-occurrence; a user is the weighted mean of what the user took."""

    Config = Item2VecConfig
    config: Item2VecConfig
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0005, 0.02)",
        "model.architecture": "[skip_gram, cbow]",
        "model.embedding_dim": "[32, 64, 128]",
        "model.half_life": "log(1, 50)",
        "model.window": "int(1, 20)",
        "model.negatives_alpha": "uniform(0, 1)",
        "model.popularity_power": "uniform(0, 1)",
    }

    def __init__(self, config: Item2VecConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(config, inputs, seed, "item2vec")

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        users = inputs[USER_INDEX]
        centres = self._sentences.draw_centres(users, self.draw_seed(CENTRES_SALT))
        items = self._sentences.items_at(centres)
        if self.config.architecture == "skip_gram":
            return self._pairs_loss(items, self._drawn_context(users, centres))
        total, weight = self._context_sum(items, self._context(users, centres))
        means = tf.math.divide_no_nan(total, weight[:, None])
        return self._sampled_loss(means, items, self._importance_of(items) * tf.cast(weight > 0, tf.float32))

    def _queries(self, features: Tensors) -> tf.Tensor:
        return self._profile_mean(features)[0]
