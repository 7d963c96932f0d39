r"""user2vec: paragraph vectors of users (Grbovic et al. 2015; Le & Mikolov 2014).

.. math:: L_\text{pv\_dm} = \ell\Bigl(\frac{e_u + \sum_{j \in N(i)} v_j}{1 + |N(i)|},\, t_i\Bigr), \qquad
          L_\text{pv\_dbow} = \ell(e_u, t_i) + \ell(v_i, t_j),\; j \in N(i)

ℓ is the loss of negative sampling (`tfrec.losses.negative_sampling`); i, j and N(i) are drawn as
`tfrec.models.sentences.contexts` says. In the distributed memory (pv_dm) the user's vector and the context predict
the item together; in the distributed bag of words (pv_dbow) the user's vector predicts each of the user's items, and
a skip-gram on the same output vectors learns the items' own. Either way e_u and v_j ask alike: the query is

.. math:: q_u = (1 - h)\, e_u + h\, \frac{\sum_j p_{uj}\, v_j}{\sum_j p_{uj}}

with h = `history_weight`; 1 for users that training did not know, 0 for those without a profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.layers import IdTable, TableConfig, TableShape
from tfrec.layers.tables import look_up, normal_rows, plan_rows
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import frozen_variable
from tfrec.models.sentences.skip_gram import CENTRES_SALT, SkipGramConfig, SkipGramModel
from tfrec.schema import USER_INDEX, CategoricalFeature, Schema

SKIP_GRAM = 1  # salt that tells the negatives of the items' pairs from those of the users'


class User2VecConfig(SkipGramConfig):
    """Choices of user2vec."""

    architecture: Literal["pv_dm", "pv_dbow"] = Field(
        "pv_dbow",
        description="pv_dm: the user's vector and the mean of the context predict the item together; pv_dbow: the "
        "user's vector predicts each item, and items predict their context",
    )
    history_weight: float = Field(
        0.5, ge=0, le=1, description="of the profile's mean in the query of a known user, beside the user's own vector"
    )


class User2Vec(SkipGramModel):
    """User and item vectors of one space; unknown users are the mean of what they took."""

    Config = User2VecConfig
    config: User2VecConfig
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0005, 0.02)",
        "model.architecture": "[pv_dm, pv_dbow]",
        "model.embedding_dim": "[32, 64, 128]",
        "model.half_life": "log(1, 50)",
        "model.window": "int(1, 20)",
        "model.history_weight": "uniform(0, 1)",
        "model.popularity_power": "uniform(0, 1)",
    }

    def __init__(self, config: User2VecConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(config, inputs, seed, "user2vec")
        rows, dim = inputs.num_ids[inputs.schema.user_id], config.embedding_dim
        initial = normal_rows(rows, dim, stddev=config.embedding_stddev, seed=[seed, 1])
        self._users = tf.Variable(initial, shape=[rows, dim], dtype=tf.float32, name="users")
        feature = inputs.schema.features[inputs.schema.user_id]
        assert isinstance(feature, CategoricalFeature)
        self._first_user = feature.first_token_id
        self._is_known = frozen_variable(tf.constant(np.diff(inputs.train.row_splits) > 0), "is_known")

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        users, sentences = inputs[USER_INDEX], self._sentences
        centres = sentences.draw_centres(users, self.draw_seed(CENTRES_SALT))
        items = sentences.items_at(centres)
        vectors = look_up(self._users, inputs[self.inputs.schema.user_id])
        weights = self._importance_of(items) * tf.cast(sentences.has_events(users), tf.float32)
        if self.config.architecture == "pv_dm":
            total, weight = self._context_sum(items, self._context(users, centres))
            return self._sampled_loss((vectors + total) / (1.0 + weight[:, None]), items, weights)
        pairs = self._pairs_loss(items, self._drawn_context(users, centres), SKIP_GRAM)
        return self._sampled_loss(vectors, items, weights) + pairs

    def train_columns(self) -> frozenset[str]:
        return frozenset({USER_INDEX, self.inputs.schema.user_id})

    def _queries(self, features: Tensors) -> tf.Tensor:
        mean, has_profile = self._profile_mean(features)
        ids = features[self.inputs.schema.user_id]
        index = tf.cast(ids, tf.int64) - self._first_user
        is_user = (index >= 0) & (index < self.inputs.num_users)
        is_known = is_user & tf.gather(self._is_known, tf.where(is_user, index, 0))
        own = tf.where(is_known[:, None], look_up(self._users, ids), 0.0)
        if self.config.similarity == "cosine":
            own = tf.math.l2_normalize(own, axis=1)
        of_both = tf.where(has_profile, self.config.history_weight, 0.0)
        share = tf.where(is_known, of_both, 1.0)[:, None]
        return (1.0 - share) * own + share * mean

    def id_tables(self) -> list[IdTable]:
        user_id = self.inputs.schema.user_id
        plan = plan_rows(self.inputs.num_ids[user_id], TableConfig())
        return [*super().id_tables(), IdTable(self._users, user_id, 0, plan)]

    @classmethod
    def table_shapes(
        cls, config: SkipGramConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        users = TableShape("users", num_ids[schema.user_id], config.embedding_dim)
        return [*super().table_shapes(config, schema, num_ids, num_items), users]

    @property
    def state(self) -> list[tf.Variable]:
        return [*super().state, self._is_known]
