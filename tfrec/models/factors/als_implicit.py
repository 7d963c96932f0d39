"""Implicit feedback: what answers, and how a user's vector follows from what the user took."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from tfrec.dataset.interactions import Interactions
from tfrec.dataset.records import Tensors
from tfrec.models.base import Reasons
from tfrec.models.factors.als_solver import Entries, row_splits_of, solve_for_columns, solve_rows
from tfrec.models.factors.als_training import Ridge, gram, implicit_items
from tfrec.models.factors.pair_weights import PairWeights, taken_weights
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import frozen_variable
from tfrec.models.profiles.cold_start import popularity_prior, prior_without_profile
from tfrec.models.profiles.reasons import contributions
from tfrec.models.profiles.user_profiles import Profiles, UserProfiles
from tfrec.schema import CategoricalFeature

if TYPE_CHECKING:
    from tfrec.models.als import ALSConfig


class ImplicitFactors(tf.Module):
    """Item vectors, and what the cells that were not taken add to everyone's equations."""

    def __init__(self, config: ALSConfig, ridge: Ridge, inputs: ModelInputs) -> None:
        super().__init__(name="implicit_factors")
        self._config, self._ridge = config, ridge
        self._user_id, self._num_items = inputs.schema.user_id, inputs.num_items
        user = inputs.schema.features[self._user_id]
        assert isinstance(user, CategoricalFeature)
        self._first_user = user.first_token_id
        self.profiles = UserProfiles(config, inputs)
        dim = config.embedding_dim
        self._items = frozen_variable(tf.zeros([inputs.num_items, dim]), "item_vectors")
        self._base = frozen_variable(tf.zeros([dim, dim]), "weighted_gram_matrix")
        self._prior = frozen_variable(tf.zeros([inputs.num_items]), "popularity_prior")
        self._pair_weights: PairWeights | None = None
        if config.weighting == "events":
            self._pair_weights = PairWeights(taken_weights(inputs.train, config.weighting))

    def fit(self, train: Interactions, start: tf.Tensor) -> tf.Tensor:
        """Learn from first item vectors, return the last. [num_items, dim]"""
        taken, weight = taken_weights(train, self._config.weighting), self._config.unobserved_weight
        items = implicit_items(taken, start, self._config.passes, self._ridge, weight)
        self._items.assign(items)
        self._base.assign(gram(items, weight))
        self._prior.assign(popularity_prior(train.item_counts()))
        return items

    def items(self) -> tf.Tensor:
        return self._items.value()

    def users(self, features: Tensors) -> tf.Tensor:
        """float32 [batch, dim]; zeros for whom nothing is known."""
        return solve_rows(*self._equations(features, self.profiles(features)))

    def scores(self, features: Tensors) -> tf.Tensor:
        profiles = self.profiles(features)
        scores = tf.matmul(solve_rows(*self._equations(features, profiles)), self._items, transpose_b=True)
        return prior_without_profile(scores, self._prior.value(), profiles, tf.equal(self._prior, 0.0))

    def explain(self, features: Tensors, items: tf.Tensor, reasons: int, item_ids: tf.Tensor) -> Reasons:
        r"""Exactly: the items of the profile that add most to each score (Hu et al. 2008, section 5).

        .. math:: x_u \cdot y_j = \sum_{i \in S_u} r_{ui} \, y_i^\top A_u^{-1} y_j
        """
        profiles = self.profiles(features)
        equations = self._equations(features, profiles)
        sought = solve_for_columns(*equations, items)

        def weight_of(taken: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
            return tf.einsum("pd,pnd->pn", tf.gather(self._items, taken), tf.gather(sought, profiles.rows))

        return contributions(profiles._replace(weights=equations[0].weights), weight_of, items, reasons, item_ids)

    def _equations(self, features: Tensors, profiles: Profiles) -> tuple[Entries, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Arguments of the solver."""
        users = tf.cast(features[self._user_id], tf.int64) - self._first_user
        weights, batch = profiles.weights, tf.shape(users)[0]
        if self._pair_weights is not None:
            weights *= self._pair_weights(tf.gather(users, profiles.rows), profiles.items)
        frequencies = tf.math.unsorted_segment_sum(weights, profiles.rows, batch)
        ridge = self._ridge.of(frequencies + self._config.unobserved_weight * self._num_items)
        entries = Entries(row_splits_of(profiles.rows, batch), tf.cast(profiles.items, tf.int32), weights, weights)
        return entries, self._items.value(), self._base.value(), ridge

    @property
    def state(self) -> list[tf.Variable]:
        weights = [] if self._pair_weights is None else self._pair_weights.state
        return [self._items, self._base, self._prior, *self.profiles.state, *weights]
