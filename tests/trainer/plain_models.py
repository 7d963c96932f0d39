"""Two models as small as can be: one learns from whole users or items, one predicts ratings. Tests register them."""

from typing import Literal

import numpy as np
import tensorflow as tf

from tfrec.models.base import ModelConfig, PredictsRatings, RetrievalModel
from tfrec.models.learning import FittedModel, GradientModel, frozen_variable
from tfrec.models.profiles.user_profiles import ProfileConfig, UserProfiles
from tfrec.replicas import global_mean
from tfrec.schema import ITEM_INDEX, USER_INDEX

REGISTERED = {
    "whole_rows": "tests.trainer.plain_models:WholeRows",
    "item_means": "tests.trainer.plain_models:ItemMeans",
}


class WholeRowsConfig(ModelConfig):
    rows: Literal["users", "items"] = "users"


class WholeRows(RetrievalModel, GradientModel):
    """One weight an item, fitted to how many users took it (users), or to its own count (items); random noise on it."""

    Config = WholeRowsConfig

    def __init__(self, config, inputs, seed=1):
        super().__init__(name="whole_rows")
        self.config, self.inputs, self.seed = config, inputs, seed
        self._weights = tf.Variable(tf.zeros([inputs.num_items]), name="weights")
        self._taken = tf.RaggedTensor.from_row_splits(inputs.train.items, inputs.train.row_splits)
        self._counts = tf.constant(inputs.train.item_counts(), tf.float32)

    @property
    def training_rows(self):
        return self.config.rows

    def train_columns(self):
        return frozenset({USER_INDEX if self.config.rows == "users" else ITEM_INDEX})

    def compute_loss(self, inputs, training=False):
        if self.config.rows == "items":
            errors = tf.gather(self._weights, inputs[ITEM_INDEX]) - tf.gather(self._counts, inputs[ITEM_INDEX])
            return global_mean(errors**2)
        taken = tf.gather(self._taken, inputs[USER_INDEX])
        noise = tf.random.stateless_uniform([self.inputs.num_items], self.draw_seed(1), alg="philox")
        logits = tf.nn.log_softmax(self._weights + 0.1 * noise)
        return global_mean(-tf.reduce_sum(tf.gather(logits, taken), axis=1))

    def scores(self, features):
        batch = tf.shape(features[self.inputs.schema.user_id])[0]
        return tf.repeat(self._weights[None, :], batch, axis=0)

    def item_vectors_for_reasons(self):
        return self._weights[:, None]

    def id_tables(self):
        return []

    @property
    def state(self):
        return [self._weights]

    @property
    def required_features(self):
        return frozenset({self.inputs.schema.user_id})


class ItemMeansConfig(ModelConfig):
    is_explicit: bool = True
    reciprocal: bool = False


class ItemMeans(RetrievalModel, FittedModel, PredictsRatings, tf.Module):
    """The mean training label of each item, a little more for what the user's profile holds."""

    Config = ItemMeansConfig

    def __init__(self, config, inputs):
        tf.Module.__init__(self, name="item_means")
        self.config, self.inputs = config, inputs
        self._profiles = UserProfiles(ProfileConfig(), inputs)
        self._means = frozen_variable(tf.zeros([inputs.num_items]), "means")

    @property
    def predicts_ratings(self):
        return self.config.is_explicit

    @property
    def preferred_monitor(self):
        return "rmse" if self.config.is_explicit else None

    def fit(self, inputs):
        train = inputs.train
        sums = np.bincount(train.items, weights=train.labels, minlength=train.num_items)
        counts = np.bincount(train.items, minlength=train.num_items)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), train.labels.mean())
        self._means.assign(means.astype(np.float32))

    def predicted_ratings(self, features):
        user_id = tf.cast(features[self.inputs.schema.user_id], tf.float32)
        return tf.gather(self._means, features[ITEM_INDEX]) + 0.001 * user_id

    def scores(self, features):
        user_id = tf.cast(features[self.inputs.schema.user_id], tf.float32)
        return self._means + 0.001 * user_id[:, None]

    def item_vectors_for_reasons(self):
        return self._means[:, None]

    def profiles_for_reasons(self):
        return self._profiles

    @property
    def state(self):
        return [self._means, *self._profiles.state]

    @property
    def required_features(self):
        return self._profiles.required_features
