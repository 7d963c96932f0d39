r"""What a user took, as the item-to-item models read it: distinct items, weighted by how lately they came.

.. math:: p_{ui} = 2^{-r_{ui} / \text{half\_life}}

r_ui counts the user's distinct items that came after i; without a half-life every item weighs 1.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError
from tfrec.models.base import ModelConfig
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import frozen_variable
from tfrec.schema import CategoricalFeature


class ProfileConfig(ModelConfig):
    """Choices about the user's side of an item-to-item model."""

    profile: Literal["both", "history", "training"] = Field(
        "both",
        description="history: the sequence feature of the request; training: all that the user took in training, by "
        "the user's id; both: the history, and before it what the training adds",
    )
    half_life: float | None = Field(
        None, gt=0, description="items after which an item of the profile weighs one half; null: all weigh the same"
    )


class Profiles(NamedTuple):
    """Profiles of a batch as triples: row of the batch int64 [n], item index int64 [n], weight float32 [n]."""

    rows: tf.Tensor
    items: tf.Tensor
    weights: tf.Tensor


class UserProfiles(tf.Module):
    """Encoded features → profiles; users are found by their encoded id, whose order is that of the user indices."""

    def __init__(self, config: ProfileConfig, inputs: ModelInputs) -> None:
        """Take the training interactions along where the config asks for them.

        Raises:
            ConfigError: the profile is to be the history, and the dataset has none.

        """
        super().__init__(name="user_profiles")
        schema = inputs.schema
        if config.profile == "history" and schema.history is None:
            raise ConfigError(
                "model.profile=history: the dataset has no sequence of items; choose training, or add a feature of "
                "kind sequence to dataset.yaml"
            )
        self._user_id = schema.user_id
        self._history = None if config.profile == "training" else schema.history
        self._half_life = config.half_life
        user, item = schema.features[schema.user_id], schema.features[schema.item_id]
        assert isinstance(user, CategoricalFeature)
        assert isinstance(item, CategoricalFeature)
        self._first_user, self._first_item = user.first_token_id, item.first_token_id
        self._num_items, self._num_users = inputs.num_items, inputs.num_users
        self._training: tuple[tf.Variable, tf.Variable] | None = None
        if config.profile != "history":
            # Behind the last user stands one who took nothing: the unknown.
            splits = tf.concat([inputs.train.row_splits, inputs.train.row_splits[-1:]], axis=0)
            items = tf.cast(inputs.train.items, tf.int32)
            self._training = (frozen_variable(splits, "training_splits"), frozen_variable(items, "training_items"))

    @property
    def state(self) -> list[tf.Variable]:
        return list(self._training or ())

    @property
    def required_features(self) -> frozenset[str]:
        return frozenset({self._user_id} | ({self._history} if self._history else set()))

    def __call__(self, features: Tensors) -> Profiles:
        """Profiles of a batch; an item that stands twice counts where it stands last."""
        items = self._taken(features)
        is_latest = self._is_latest(items.value_rowids(), items.values)
        rows, taken = (tf.boolean_mask(values, is_latest) for values in (items.value_rowids(), items.values))
        return Profiles(rows, taken, self._weights(rows))

    def _taken(self, features: Tensors) -> tf.RaggedTensor:
        """Item indices of each row, oldest first; int64 [batch, None]."""
        parts = []
        if self._training is not None:
            found = self._of_training(features[self._user_id], self._training[1])
            parts.append(found.with_values(tf.cast(found.values, tf.int64)))
        if self._history is not None:
            ids = features[self._history]
            parts.append(self._of_history(ids, tf.cast(ids, tf.int64) - self._first_item))
        return tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]

    def _weights(self, rows: tf.Tensor) -> tf.Tensor:
        """By what came after, of distinct items in the order of time; float32 [n]."""
        if self._half_life is None:
            return tf.ones_like(rows, tf.float32)
        return tf.pow(0.5, tf.cast(items_since(rows), tf.float32) / self._half_life)

    def _of_training(self, users: tf.Tensor, values: tf.Tensor) -> tf.RaggedTensor:
        """`values` [events] of the training events of each user; [batch, None]."""
        assert self._training is not None
        index = tf.cast(users, tf.int64) - self._first_user
        is_known = (index >= 0) & (index < self._num_users)
        table = tf.RaggedTensor.from_row_splits(values, self._training[0], validate=False)
        return tf.gather(table, tf.where(is_known, index, self._num_users))

    def _of_history(self, ids: tf.Tensor, values: tf.Tensor) -> tf.RaggedTensor:
        """`values` [batch, width] where a history has an item of the catalogue; [batch, None]."""
        index = tf.cast(ids, tf.int64) - self._first_item
        return tf.ragged.boolean_mask(values, (index >= 0) & (index < self._num_items))

    def _is_latest(self, rows: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Whether no later entry is of the same row and item; bool [n]."""
        places = tf.range(tf.size(items))
        distinct, number = tf.unique(rows * self._num_items + items)
        latest = tf.math.unsorted_segment_max(places, number, tf.size(distinct))
        return tf.equal(tf.gather(latest, number), places)


def items_since(rows: tf.Tensor) -> tf.Tensor:
    """How many entries of the same row come after each; `rows` ascending. int32 [n]"""
    ends = tf.cumsum(tf.math.bincount(tf.cast(rows, tf.int32)))
    return tf.gather(ends, rows) - 1 - tf.range(tf.size(rows))
