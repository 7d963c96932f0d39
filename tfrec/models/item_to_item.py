r"""Item-to-item models: the user is what the user took, and a square matrix says what each item speaks for.

.. math:: s(u, j) = \sum_i p_{ui} W_{ij} + \epsilon \, c_j / \max_k c_k

p_u is the profile (`tfrec.models.user_profiles`), c the training counts: where the profile is empty or says nothing of
two items, the more popular one comes first.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from scipy import sparse

from tfrec.dataset.interactions import Interactions
from tfrec.dataset.records import Tensors
from tfrec.models.base import FittedModel, RetrievalModel, frozen_variable
from tfrec.models.inputs import ModelInputs
from tfrec.models.item_weights import ItemWeights
from tfrec.models.user_profiles import ProfileConfig, UserProfiles

# Where these models are kept and asked: a GPU has no deterministic sparse product, and less room for num_items².
DEVICE = "CPU:0"
TIE_BREAK = 1e-6  # far below the weights, far above what float32 makes of zero


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
        counts = inputs.train.item_counts().astype(np.float32)
        self._tie_break.assign(TIE_BREAK * counts / max(counts.max(initial=0), 1))
        self._fit_weights(inputs)

    def _fit_weights(self, inputs: ModelInputs) -> None:
        raise NotImplementedError

    def scores(self, features: Tensors) -> tf.Tensor:
        with tf.device(DEVICE):
            batch = tf.shape(features[self.inputs.schema.user_id])[0]
            return self._weights.scores(self._profiles(features), batch) + self._tie_break

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
