r"""Models that see a user (or an item) as a sparse row of the rating matrix: a row becomes a hidden vector, and that
the values of all columns.

.. math:: h_r = \text{encode}(\{(c, v_{rc})\}), \qquad
   \hat v_{rc} = g(h_r^\top W_{c1} + b_{c1}, \dots, h_r^\top W_{cK} + b_{cK})

Rows are items (columns are users): the hidden vectors of all items are kept, and a user's answer is the user's column.
Rows are users (columns are items): the user's row is read from the request, so users and ratings that training never
saw are answered too. With a label that is a value the models predict ratings, and what nothing is known of gets the
mean; without one, or with a binary one, every event is a 1 and every other pair a 0.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import Literal

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.layers import IdTable, TableShape
from tfrec.layers.tables import RowPlan, look_up
from tfrec.models.autoencoders.observed import Observed, products, whole_products
from tfrec.models.autoencoders.training_matrix import Rows, TrainingMatrix, has_ratings
from tfrec.models.base import ModelConfig, PredictsRatings, RetrievalModel
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import GradientModel, TrainingRows, frozen_variable
from tfrec.models.profiles.cold_start import popularity_prior, rows_without_profile
from tfrec.models.profiles.rated_profiles import RatedProfiles
from tfrec.models.profiles.user_profiles import ProfileConfig, Profiles, UserProfiles
from tfrec.schema import ITEM_INDEX, USER_INDEX, Schema

REFRESHED_ROWS = 512  # whose hidden vectors are computed at a time
PAIRS = 4096  # whose vectors are gathered at a time


class RowModelConfig(ModelConfig):
    """Choices of all models of rows."""

    rows: Rows = Field("items", description="what a row of the rating matrix is")
    profile: Literal["both", "history", "training"] = Field(
        "both", description="with rows of users: where a user's row is read from, as for item_knn"
    )
    hidden_dim: int = Field(500, ge=1)
    l2: float = Field(
        100.0, ge=0, description="λ of λ/2 times the squared weights, beside the sum of all losses; grows with the log"
    )


class RowModel(RetrievalModel, GradientModel, PredictsRatings):
    """Subclasses say how a row is encoded and what the products with a column's vectors mean."""

    config: RowModelConfig
    decoder: tf.Variable  # float32 [column ids, levels · hidden_dim]
    decoder_bias: tf.Variable  # float32 [column ids, levels]

    def __init__(self, config: RowModelConfig, inputs: ModelInputs, seed: int, name: str) -> None:
        super().__init__(name=name)
        self.config = config
        self.inputs = inputs
        self.seed = seed
        self.is_explicit = has_ratings(inputs)
        self.matrix = TrainingMatrix(inputs, config.rows)
        counts = inputs.train.item_counts()
        self._prior = frozen_variable(popularity_prior(counts), "popularity_prior")
        self._is_new_item = frozen_variable(counts == 0, "is_new_item")
        self._item_ids = tf.constant(inputs.catalogue.features[inputs.schema.item_id], tf.int64)
        self._profiles: UserProfiles | None = None
        if config.rows == "users":
            profile = ProfileConfig(profile=config.profile)
            self._profiles = RatedProfiles(profile, inputs) if self.is_explicit else UserProfiles(profile, inputs)
        else:
            self._item_hidden = frozen_variable(tf.zeros([inputs.num_items, config.hidden_dim]), "item_hidden")
            self._is_known_user = frozen_variable(self.matrix.is_known_id(), "is_known_user")

    # --- What a model is ---

    @abc.abstractmethod
    def encode(
        self, observed: Observed, batch: tf.Tensor, *, density: float, is_rated: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Hidden vectors of rows.

        Args:
            observed: the entries of the rows; columns by encoded id.
            batch: how many rows, a scalar.
            density: share of their entries that is observed, about; 0 where they may be too many for a whole matrix.
            is_rated: bool [entries], False where a pair is known to be rated and not how, and the value is the mean;
                None for all True.

        Returns:
            float32 [batch, hidden_dim].

        """

    @abc.abstractmethod
    def values_of(self, found: tf.Tensor) -> tf.Tensor:
        """Products with a column's vectors, biases added, [..., levels] → predicted values [...]."""

    @property
    @abc.abstractmethod
    def encoder_state(self) -> list[tf.Variable]:
        """Variables that `encode` reads."""

    # --- Training ---

    @property
    def training_rows(self) -> TrainingRows:  # type: ignore[override]
        return self.config.rows

    @property
    def preferred_monitor(self) -> str | None:
        return "rmse"

    def train_columns(self) -> frozenset[str]:
        return frozenset({USER_INDEX if self.config.rows == "users" else ITEM_INDEX})

    def training_index(self, batch: Tensors) -> tf.Tensor:
        """int64 [batch]: which rows of the matrix a batch holds."""
        return tf.cast(batch[USER_INDEX if self.config.rows == "users" else ITEM_INDEX], tf.int64)

    def column_tables(self, *variables: tf.Variable) -> list[IdTable]:
        """Variables whose rows are the columns of the matrix, by encoded id."""
        plan = RowPlan(self.matrix.num_columns, 0, "plain")
        return [IdTable(variable, self.matrix.column_feature, 0, plan) for variable in variables]

    def refresh(self) -> None:
        if self.config.rows == "items":
            for start in range(0, self.inputs.num_items, REFRESHED_ROWS):
                index = tf.range(start, min(start + REFRESHED_ROWS, self.inputs.num_items), dtype=tf.int64)
                hidden = self.encode(self.matrix.observed(index), tf.size(index), density=self.matrix.density)
                self._item_hidden.scatter_nd_update(index[:, None], hidden)

    # --- Answers ---

    def scores(self, features: Tensors) -> tf.Tensor:
        if self.config.rows == "users":
            hidden, is_known = self._hidden_of_users(features)
            found = whole_products(hidden, self.decoder) + self.decoder_bias
            values = tf.gather(self.values_of(found), self._item_ids, axis=1)
        else:
            users = features[self.inputs.schema.user_id]
            is_known = tf.gather(self._is_known_user, users)
            vectors = tf.reshape(look_up(self.decoder, users), [-1, self.levels, self.config.hidden_dim])
            found = tf.einsum("bkf,if->bik", vectors, self._item_hidden)
            values = self.values_of(found + look_up(self.decoder_bias, users)[:, None, :])
        # What nobody took goes last; whoever took nothing gets what most others took.
        values = tf.where(self._is_new_item, tf.reduce_min(values, axis=1, keepdims=True), values)
        return tf.where(is_known[:, None], values + self._prior, tf.convert_to_tensor(self._prior))

    def predicted_ratings(self, features: Tensors) -> tf.Tensor:
        items, users = tf.cast(features[ITEM_INDEX], tf.int64), features[self.inputs.schema.user_id]
        if self.config.rows == "items":
            columns, rows, hidden = users, items, tf.convert_to_tensor(self._item_hidden)
            is_known = tf.gather(self._is_known_user, users)
        else:
            columns = tf.gather(self._item_ids, items)
            rows = tf.range(tf.size(items, tf.int64))
            if self.required_features == {self.inputs.schema.user_id}:  # events of one user have one hidden vector
                users, rows = tf.unique(users, out_idx=tf.int64)
                features = {self.inputs.schema.user_id: users}
            hidden, is_known = self._hidden_of_users(features)
            is_known = tf.gather(is_known, rows)

        def predicted(pairs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            found = products(hidden, self.decoder, *pairs, density=0.0)
            return self.values_of(found + tf.gather(self.decoder_bias, pairs[1]))

        is_known &= tf.logical_not(tf.gather(self._is_new_item, items))
        # Nobody rates beyond the scale; the scores go beyond it, or the best items would be equal.
        found = tf.clip_by_value(in_chunks(predicted, rows, columns), *self.matrix.range)
        return tf.where(is_known, found, self.matrix.mean)

    def _hidden_of_users(self, features: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        """(hidden vectors [batch, hidden_dim], which users anything is known of: bool [batch])."""
        batch = tf.shape(features[self.inputs.schema.user_id])[0]
        assert self._profiles is not None
        if isinstance(self._profiles, RatedProfiles):
            rated = self._profiles.rated(features)
            # A request may leave the ratings of its history out: what is not on the scale is unknown.
            low, high = self.matrix.range
            is_rated = (rated.ratings >= low) & (rated.ratings <= high)
            profiles = Profiles(rated.rows, rated.items, tf.where(is_rated, rated.ratings, self.matrix.mean))
        else:
            profiles, is_rated = self._profiles(features), None
        columns = tf.gather(self._item_ids, profiles.items)
        hidden = self.encode(Observed(profiles.rows, columns, profiles.weights), batch, density=0.0, is_rated=is_rated)
        return hidden, tf.logical_not(rows_without_profile(profiles, batch))

    @property
    def levels(self) -> int:
        """Vectors of each column."""
        return int(self.decoder_bias.shape[1])

    def item_vectors_for_reasons(self) -> tf.Tensor:
        if self.config.rows == "users":
            return tf.gather(self.decoder, self._item_ids)
        # Activations are all positive: what tells items apart is where they differ from the mean.
        return self._item_hidden - tf.reduce_mean(self._item_hidden, axis=0)

    def profiles_for_reasons(self) -> UserProfiles:
        return self._profiles or super().profiles_for_reasons()

    @property
    def required_features(self) -> frozenset[str]:
        found = frozenset({self.inputs.schema.user_id})
        return found if self._profiles is None else found | self._profiles.required_features

    @property
    def state(self) -> list[tf.Variable]:
        common = [self.decoder, self.decoder_bias, self._prior, self._is_new_item]
        if self._profiles is None:
            return [*common, self._item_hidden, self._is_known_user]
        encoder = [v for v in self.encoder_state if v is not self.decoder]
        return [*common, *encoder, *self._profiles.state]


def in_chunks(
    function: Callable[[tuple[tf.Tensor, tf.Tensor]], tf.Tensor], rows: tf.Tensor, columns: tf.Tensor
) -> tf.Tensor:
    """`function` of pairs [n], some at a time: it may gather vectors for each, and n may be an evaluation's."""
    size = tf.size(rows)
    chunk = tf.clip_by_value(size, 1, PAIRS)
    missing = tf.math.floormod(-size, chunk)
    pairs = tuple(tf.reshape(tf.pad(side, [[0, missing]]), [-1, chunk]) for side in (rows, columns))
    found = tf.map_fn(function, pairs, fn_output_signature=tf.float32)
    return tf.reshape(found, [-1])[:size]


def row_table_shapes(
    config: RowModelConfig,
    schema: Schema,
    num_ids: Mapping[str, int],
    num_items: int,
    *,
    levels: Mapping[str, int],
    biases: int = 1,
) -> list[TableShape]:
    """Tables of a model of rows; `levels` says how many vectors each has for a column, `biases` how many it has."""
    columns = num_ids[schema.item_id if config.rows == "users" else schema.user_id]
    shapes = [TableShape(name, columns, count * config.hidden_dim) for name, count in levels.items()]
    shapes.append(TableShape("column_biases", columns, biases))
    if config.rows == "items":
        shapes.append(TableShape("item_hidden", num_items, config.hidden_dim, is_trained=False))
    return shapes
