"""What a user took, and how the user rated it: training labels by user id, and those that a history brings along."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import frozen_variable
from tfrec.models.profiles.user_profiles import ProfileConfig, UserProfiles
from tfrec.schema import Schema


class RatedItems(NamedTuple):
    """Distinct items of the profiles of a batch, each with its latest rating.

    Attributes:
        rows: of the batch, ascending. int64 [n]
        items: item indices. int64 [n]
        weights: of `UserProfiles`, by how lately they came. float32 [n]
        ratings: in units of the label; NaN where no rating is known. float32 [n]

    """

    rows: tf.Tensor
    items: tf.Tensor
    weights: tf.Tensor
    ratings: tf.Tensor

    def known(self) -> RatedItems:
        """Those with a rating."""
        is_known = ~tf.math.is_nan(self.ratings)
        return RatedItems(*(tf.boolean_mask(values, is_known) for values in self))


class RatedProfiles(UserProfiles):
    """Profiles with ratings. Those of a history come from a sequence `of: label` beside it, where there is one; NaN in
    it is a rating that a request does not give.
    """

    def __init__(self, config: ProfileConfig, inputs: ModelInputs, *, needs_ratings: bool = False) -> None:
        """Take the training labels along.

        Args:
            config: what is read.
            inputs: of the model.
            needs_ratings: items without a rating are of no use, so a history without ratings is not read.

        Raises:
            ConfigError: the profile is to be the history, and the dataset has none, or none with the ratings needed.

        """
        super().__init__(config, inputs)
        self._label_history = None if self._history is None else label_history(inputs.schema)
        if needs_ratings and self._label_history is None:
            if config.profile == "history":
                raise ConfigError(
                    "model.profile=history: the dataset has no ratings beside its history; choose training, or add a "
                    "feature {role: user, kind: sequence, of: label} of the same length to dataset.yaml"
                )
            self._history = None
        # A history has the values that the log has, the training labels what the threshold makes of them.
        self._threshold = None if inputs.schema.label is None else inputs.schema.label.threshold
        self._ratings: tf.Variable | None = None
        if self._training is not None:
            labels = inputs.train.labels
            unknown = np.full(inputs.train.num_events, np.nan, np.float32)
            self._ratings = frozen_variable(unknown if labels is None else labels, "training_ratings")

    @property
    def state(self) -> list[tf.Variable]:
        return [*super().state, *([] if self._ratings is None else [self._ratings])]

    @property
    def required_features(self) -> frozenset[str]:
        return super().required_features | ({self._label_history} if self._label_history else set())

    def rated(self, features: Tensors) -> RatedItems:
        """Profiles of a batch; an item that stands twice counts where it stands last, with its latest rating."""
        taken = self._taken(features)
        rows, items, ratings = taken.value_rowids(), taken.values, self._given(features)
        places = tf.range(tf.size(items))
        distinct, number = tf.unique(rows * self._num_items + items)
        size = tf.size(distinct)
        latest = tf.gather(tf.math.unsorted_segment_max(places, number, size), number)
        rated_places = tf.where(tf.math.is_nan(ratings), -1, places)
        latest_rated = tf.gather(tf.math.unsorted_segment_max(rated_places, number, size), number)
        found = tf.where(latest_rated >= 0, tf.gather(ratings, tf.maximum(latest_rated, 0)), np.nan)
        rows, items, found = (tf.boolean_mask(values, latest == places) for values in (rows, items, found))
        return RatedItems(rows, items, self._weights(rows), found)

    def _given(self, features: Tensors) -> tf.Tensor:
        """Ratings of what `_taken` gives, in its order. float32 [n]"""
        parts = []
        if self._ratings is not None:
            parts.append(self._of_training(features[self._user_id], self._ratings))
        if self._history is not None:
            ids = features[self._history]
            given = tf.fill(tf.shape(ids), np.float32(np.nan))
            if self._label_history is not None:
                given = features[self._label_history]
                if self._threshold is not None:
                    above = tf.cast(given >= self._threshold, tf.float32)
                    given = tf.where(tf.math.is_nan(given), given, above)
            parts.append(self._of_history(ids, given))
        return (tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]).values


def label_history(schema: Schema) -> str | None:
    """The sequence of labels that stands side by side with the history of items, or None."""
    if schema.history is None:
        return None
    return next((name for name in schema.side_by_side(schema.history) if schema.is_label_sequence(name)), None)
