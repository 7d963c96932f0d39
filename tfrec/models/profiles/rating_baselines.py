r"""What a rating would be if tastes were all alike: some users are kinder than others, some items better (Koren 2010).

.. math:: b_{ui} = \mu + b_u + b_i, \quad
   \min_b \sum_{(u, i)} (r_{ui} - b_{ui})^2 + \lambda_u \sum_u b_u^2 + \lambda_i \sum_i b_i^2

solved by turns: all b_i given the b_u, then all b_u given the b_i. The last turn is that of the users, so a user's bias
follows from the ratings alone, and a user who was not there in training gets one in the same way:

.. math:: b_u = \frac{\sum_i (r_{ui} - \mu - b_i)}{\lambda_u + n_u}

Y. Koren: Factor in the neighbors (TKDD 2010), section 2.1. Without item biases μ + b_u is the user's mean, drawn a
little towards that of all.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf
from pydantic import Field
from scipy import sparse

from tfrec.config_file import Config
from tfrec.dataset.interactions import Interactions
from tfrec.errors import ConfigError
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import frozen_variable
from tfrec.models.profiles.rated_profiles import RatedItems

TURNS = 10


class BaselineConfig(Config):
    """Choices of the baseline estimates."""

    kind: Literal["user", "user_and_item"] = Field(
        "user_and_item", description="what neighbours' ratings are compared with: the user's mean, or μ + b_u + b_i"
    )
    user_l2: float = Field(15.0, ge=0, description="λ_u")
    item_l2: float = Field(10.0, ge=0, description="λ_i")


class Estimates(NamedTuple):
    """Of a batch.

    Attributes:
        users: μ + b_u. float32 [batch]
        items: b_i. float32 [num_items]
        residuals: r − b_ui of each rated item of the profiles. float32 [n]

    """

    users: tf.Tensor
    items: tf.Tensor
    residuals: tf.Tensor


class RatingBaselines(tf.Module):
    """μ and b_i as variables; b_u follows from what a user rated."""

    def __init__(self, config: BaselineConfig, num_items: int) -> None:
        super().__init__(name="rating_baselines")
        self._config = config
        self._mean = frozen_variable(tf.constant(0.0), "mean_rating")
        self._items = frozen_variable(tf.zeros([num_items]), "item_biases")
        self._range = frozen_variable(tf.zeros([2]), "rating_range")

    @property
    def state(self) -> list[tf.Variable]:
        return [self._mean, self._items, self._range]

    def fit(self, ratings: sparse.csr_array) -> sparse.csr_array:
        """Solve for the biases; return r − b_ui where `ratings` [num_users, num_items] has an entry."""
        mean, users, items = solve_biases(ratings, self._config)
        self._mean.assign(mean)
        self._items.assign(items)
        self._range.assign([ratings.data.min(), ratings.data.max()])
        found = ratings.copy()
        found.data = (ratings.data - mean - np.repeat(users, np.diff(ratings.indptr)) - items[ratings.indices]).astype(
            np.float32
        )
        return found

    def __call__(self, rated: RatedItems, batch: tf.Tensor) -> Estimates:
        """Estimates of a batch; a user without ratings has b_u = 0."""
        rows = tf.cast(rated.rows, tf.int32)
        residuals = rated.ratings - self._mean - tf.gather(self._items, rated.items)
        counts = tf.math.unsorted_segment_sum(tf.ones_like(residuals), rows, batch)
        users = tf.math.divide_no_nan(
            tf.math.unsorted_segment_sum(residuals, rows, batch), counts + self._config.user_l2
        )
        return Estimates(self._mean + users, self._items.value(), residuals - tf.gather(users, rows))

    def clip(self, ratings: tf.Tensor) -> tf.Tensor:
        """Into the range of the training ratings: nobody gives less or more."""
        return tf.clip_by_value(ratings, self._range[0], self._range[1])


def solve_biases(ratings: sparse.csr_array, config: BaselineConfig) -> tuple[float, np.ndarray, np.ndarray]:
    """μ, b_u [num_users] and b_i [num_items], float64; 0 for users and items without ratings."""
    num_users, num_items = ratings.shape
    users = np.repeat(np.arange(num_users), np.diff(ratings.indptr))
    items, values = ratings.indices, ratings.data.astype(np.float64)
    mean = float(values.mean())
    user_counts = np.maximum(np.bincount(users, minlength=num_users) + config.user_l2, 1e-9)
    item_counts = np.maximum(np.bincount(items, minlength=num_items) + config.item_l2, 1e-9)
    of_users, of_items = np.zeros(num_users), np.zeros(num_items)
    for _ in range(TURNS):
        if config.kind == "user_and_item":
            of_items = np.bincount(items, values - mean - of_users[users], num_items) / item_counts
        of_users = np.bincount(users, values - mean - of_items[items], num_users) / user_counts
    return mean, of_users, of_items


def latest_ratings(train: Interactions) -> sparse.csr_array:
    """float32 [num_users, num_items]: each user's latest rating of each item; an entry may be 0."""
    keys = train.users * train.num_items + train.items
    # Of equal keys the last stands first in the reversed list, and `unique` finds the first.
    distinct, reversed_places = np.unique(keys[::-1], return_index=True)
    assert train.labels is not None
    values = train.labels[::-1][reversed_places]
    splits = np.searchsorted(distinct, np.arange(train.num_users + 1, dtype=np.int64) * train.num_items)
    columns = (distinct % train.num_items).astype(np.int32)
    return sparse.csr_array((values, columns, splits), shape=(train.num_users, train.num_items))


def require_rated(inputs: ModelInputs) -> None:
    """Refuse explicit feedback where there is none.

    Raises:
        ConfigError: the label is absent or binary.

    """
    label = inputs.schema.label
    if label is None or label.is_binary or inputs.train.labels is None:
        raise ConfigError(
            f"model.feedback=explicit: the dataset has {'no' if label is None else 'a binary'} label; set label.column "
            "in dataset.yaml to the ratings, without threshold and values, or choose implicit"
        )
