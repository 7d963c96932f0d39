"""The user's side of a matrix factorisation: a row of a table, what the user took, what the request says of that."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.layers.tables import look_up
from tfrec.models.factors.fold_in import FoldIn
from tfrec.models.factors.history_sum import HistorySum, scaled
from tfrec.models.factors.losses import FactorLossConfig
from tfrec.models.factors.tables import FactorTable, with_ones
from tfrec.models.inputs import ModelInputs
from tfrec.models.profiles.user_profiles import ProfileConfig, UserProfiles
from tfrec.schema import CategoricalFeature, Schema

RATING_L2, CHOICE_L2 = 0.08, 0.02  # what suits most logs


class FactorUsersConfig(FactorLossConfig):
    """Choices of the factors."""

    embedding_dim: int = Field(64, ge=1)
    biases: bool = True
    embedding_stddev: float = Field(0.05, gt=0, description="of the first vectors")
    l2: float | None = Field(
        None,
        ge=0,
        description="λ of λ (|p|² + |q|²), for each event; null: 0.08 for ratings, else 0.02",
    )
    bias_l2: float = Field(0.005, ge=0, description="the same for biases")
    implicit_history: bool = Field(False, description="SVD++: vectors of what the user took add up to the user's own")
    history_l2: float = Field(0.5, ge=0, description="the same as l2, for the mean |y|² of what the user took")
    fold_in: bool = Field(
        True, description="users of unknown id are answered by the history of their request; not for ratings"
    )


def factor_l2(config: FactorUsersConfig, is_rating: bool) -> float:
    """λ of the factors."""
    return (RATING_L2 if is_rating else CHOICE_L2) if config.l2 is None else config.l2


class UserRows(NamedTuple):
    """Users of a batch.

    Attributes:
        rows: vectors, so that their product with the items' is the score. float32 [n, width]
        places: of each event among them, never decreasing. int64 [batch]
        penalty: a scalar.

    """

    rows: tf.Tensor
    places: tf.Tensor
    penalty: tf.Tensor


def first_token(schema: Schema, name: str) -> int:
    """The first id that stands for a token; below are padding and what no vocabulary has."""
    feature = schema.features[name]
    assert isinstance(feature, CategoricalFeature)
    return feature.first_token_id


class FactorUsers(tf.Module):
    """Table, history, fold-in."""

    def __init__(self, config: FactorUsersConfig, inputs: ModelInputs, seed: int, *, is_rating: bool) -> None:
        super().__init__(name="factor_users")
        self._config, self._is_rating = config, is_rating
        schema = inputs.schema
        self._user_id, self.first = schema.user_id, first_token(schema, schema.user_id)
        of_users = np.diff(inputs.train.row_splits)
        events = np.bincount(inputs.encoded_user_ids(), of_users, inputs.num_ids[schema.user_id])

        def table(
            feature: str, expected: np.ndarray, name: str, salt: int, l2: float, *, has_bias: bool = False
        ) -> FactorTable:
            return FactorTable(
                expected,
                config.embedding_dim,
                has_bias=has_bias,
                reserved=first_token(schema, feature),
                l2=l2,
                bias_l2=config.bias_l2,
                stddev=config.embedding_stddev,
                seed=[seed, salt],
                name=name,
            )

        has_bias, l2 = config.biases and is_rating, factor_l2(config, is_rating)
        self.table = table(schema.user_id, events, "users", 0, l2, has_bias=has_bias)
        self.history = self.profiles = self._fold_in = None
        if config.implicit_history:
            self.history = HistorySum(
                inputs, lambda expected: table(schema.item_id, expected, "history_items", 2, config.history_l2)
            )
            self.profiles = UserProfiles(ProfileConfig(), inputs)
        elif config.fold_in and schema.history is not None and not is_rating:
            self.profiles = UserProfiles(ProfileConfig(profile="history"), inputs)
            self._fold_in = FoldIn(inputs, config.embedding_dim)
        self._most = float(of_users.max(initial=0))

    # --- Training ---

    def look_up(self, ids: tf.Tensor, items: tf.Tensor) -> UserRows:
        """Vectors of the users of a batch.

        Args:
            ids: of the users, never decreasing. int64 [batch]
            items: item indices; where no rating says more, an item must not help to predict itself. int64 [batch]

        """
        dim, found = self._config.embedding_dim, self.table.look_up(ids)
        rows, places, penalty = found.rows, found.places, found.penalty
        if self.history is not None:
            sums = self.history.of_users(found.ids - self.first, found.shares)
            penalty += sums.penalty
            if self._is_rating:
                added = scaled(sums.vectors, sums.counts)
            else:
                # Who has no id of the own takes nothing, so there is nothing to leave out.
                counts = tf.gather(sums.counts, places)
                own = tf.where(counts[:, None] > 0, self.history.of_items(items), 0.0)
                added = scaled(tf.gather(sums.vectors, places) - own, counts - 1.0)
                rows, places = tf.gather(rows, places), tf.range(tf.size(ids, tf.int64))
            rows += tf.pad(added, [[0, 0], [0, int(self.table.has_bias)]])
        # A 1 stands where the item has its bias.
        return UserRows(with_ones(rows, dim) if self._config.biases else rows, places, penalty)

    # --- Answers ---

    def __call__(self, features: Tensors, items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Factors float32 [batch, dim] and biases float32 [batch], if there are any. `items` [num_items, dim]"""
        ids = features[self._user_id]
        factors, biases = self.of_ids(ids)
        if self.profiles is None:
            return factors, biases
        profiles = self.profiles(features)
        if self.history is not None:
            return factors + self.history.of_profiles(profiles, tf.shape(ids)[0]), biases
        assert self._fold_in is not None
        folded = self._fold_in.vectors(profiles, items, tf.shape(ids)[0])
        return tf.where((ids < self.first)[:, None], folded, factors), biases

    def of_ids(self, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """The table's own part of the vectors; of an unknown user 0."""
        rows, dim = look_up(self.table.variable, ids), self._config.embedding_dim
        return rows[:, :dim], rows[:, dim] if self.table.has_bias else None

    def longest(self) -> tf.Tensor:
        """No known user's vector is longer. A scalar"""
        dim = self._config.embedding_dim
        longest = tf.reduce_max(tf.norm(tf.convert_to_tensor(self.table.variable)[:, :dim], axis=1))
        if self.history is not None:
            vectors = tf.convert_to_tensor(self.history.table.variable)
            longest += self._most**0.5 * tf.reduce_max(tf.norm(vectors, axis=1))
        return longest

    def refresh(self, items: tf.Tensor) -> None:
        """Fit the fold-in. `items` float32 [num_items, dim]"""
        if self._fold_in is not None:
            known, _ = self.of_ids(self._fold_in.user_ids)
            self._fold_in.fit(known.numpy(), items.numpy())

    @property
    def required_features(self) -> frozenset[str]:
        return frozenset({self._user_id}) | (frozenset() if self.profiles is None else self.profiles.required_features)

    @property
    def state(self) -> list[tf.Variable]:
        found = [self.table.variable]
        found += [] if self.profiles is None else self.profiles.state
        found += [] if self._fold_in is None else [self._fold_in.matrix]
        return found + ([] if self.history is None else [self.history.table.variable])
