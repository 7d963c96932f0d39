r"""Item-to-item models: the user is what the user took, and a square matrix says what each item speaks for.

.. math:: s(u, j) = \sum_i p_{ui} W_{ij} + \epsilon \, c_j / \max_k c_k

p_u is the profile (`tfrec.models.profiles.user_profiles`), c the training counts: where the profile is empty or says
nothing of two items, the more popular one comes first.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from scipy import sparse

from tfrec.dataset.interactions import Interactions
from tfrec.dataset.records import Tensors
from tfrec.models.base import Reasons, RetrievalModel
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import FittedModel, frozen_variable
from tfrec.models.neighbours.item_weights import ItemWeights
from tfrec.models.profiles.cold_start import popularity_prior
from tfrec.models.profiles.reasons import contributions
from tfrec.models.profiles.user_profiles import ProfileConfig, UserProfiles

# Where these models are kept and asked: a GPU has no deterministic sparse product, and less room for num_items².
DEVICE = "CPU:0"


class ItemToItem(RetrievalModel, FittedModel, tf.Module):
    """A profile times item weights; subclasses say in `fit` what the weights are."""

    config: ProfileConfig

    def __init__(
        self, config: ProfileConfig, inputs: ModelInputs, weights: Callable[[], ItemWeights], name: str
    ) -> None:
        tf.Module.__init__(self, name=name)
        self.config = config
        self.inputs = inputs
        with tf.device(DEVICE):
            self._profiles = UserProfiles(config, inputs)
            self._weights = weights()
            self._tie_break = frozen_variable(tf.zeros([inputs.num_items]), "tie_break")

    def fit(self, inputs: ModelInputs) -> None:
        self._tie_break.assign(popularity_prior(inputs.train.item_counts()))
        self._fit_weights(inputs)

    def _fit_weights(self, inputs: ModelInputs) -> None:
        raise NotImplementedError

    def scores(self, features: Tensors) -> tf.Tensor:
        with tf.device(DEVICE):
            batch = tf.shape(features[self.inputs.schema.user_id])[0]
            return self._weights.scores(self._profiles(features), batch) + self._tie_break

    def explain(self, features: Tensors, items: tf.Tensor, reasons: int) -> Reasons:
        """The items of the profile that add most to the score, exactly: p_ui · W_ij."""
        with tf.device(DEVICE):
            return contributions(
                self._profiles(features), self._weights.of_pairs, items, reasons, self.reason_source.item_ids
            )

    def profiles_for_reasons(self) -> UserProfiles:
        return self._profiles

    @property
    def state(self) -> list[tf.Variable]:
        return [*self._weights.state, *self._profiles.state, self._tie_break]

    @property
    def required_features(self) -> frozenset[str]:
        return self._profiles.required_features


def user_item_counts(train: Interactions) -> sparse.csr_array:
    """float32 [num_users, num_items]: how often each user took each item."""
    shape = (train.num_users, train.num_items)
    events = (np.ones(train.num_events, np.float32), train.items, train.row_splits)
    counts = sparse.csr_array(events, shape=shape, copy=True)  # what follows sorts it where it stands
    counts.sum_duplicates()
    return counts
