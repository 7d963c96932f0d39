r"""Where users are items too, such as people who look for each other: a match needs both sides.

.. math:: m(u, v) = \sqrt{s(u, v) \, s(v, u)}

s(u, v) > 0 is what u would think of v: a rating, counted from 1 for the lowest, or the sigmoid of a score. The square
root leaves the order of the product and the units of the rating. An item that is no user, or a user who is no item, has
one direction only, which then counts for both. Nobody looks for themselves: u as an item comes last for u.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfrec.errors import ConfigError
from tfrec.models.factors.answers import FactorAnswers
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import frozen_variable
from tfrec.schema import FIRST_OOV_ID

LEAST = 1e-6  # of a direction: where one is nothing, the other still orders


class Reciprocity(tf.Module):
    """Which item each user is, which user each item is, and the match of both directions."""

    def __init__(self, inputs: ModelInputs, answers: FactorAnswers, first_user: int) -> None:
        """Match raw ids.

        Args:
            inputs: of the model.
            answers: has the items' vectors.
            first_user: id of the first user.

        Raises:
            ConfigError: no user's id is an item's.

        """
        super().__init__(name="reciprocity")
        users = {} if inputs.user_ids is None else {raw: index for index, raw in enumerate(inputs.user_ids)}
        user_of_item = np.array([users.get(raw, -1) for raw in inputs.catalogue.ids], np.int64)
        is_user = user_of_item >= 0
        if not is_user.any():
            raise ConfigError(
                "model.reciprocal=true: no user's id is an item's id; it is for logs in which users are items too, "
                "such as dating; set model.reciprocal=false"
            )
        self._answers, self._first, self._num_users = answers, first_user, inputs.num_users
        # Behind the last user stands one who is no item: the unknown.
        item_of_user = np.full(inputs.num_users + 1, -1, np.int64)
        item_of_user[user_of_item[is_user]] = np.flatnonzero(is_user)
        self._item_of_user = frozen_variable(item_of_user, "item_of_user")
        self._is_user = frozen_variable(is_user, "is_user")
        ids = inputs.encoded_user_ids()
        self.user_ids = tf.constant(np.where(is_user, ids[user_of_item], FIRST_OOV_ID))  # of every item
        self._users = frozen_variable(tf.zeros(answers.items.shape), "users_of_items")

    @property
    def state(self) -> list[tf.Variable]:
        return [self._item_of_user, self._is_user, self._users]

    def refresh(self, users: tf.Tensor) -> None:
        """Take the vectors of the users `user_ids`, float32 [num_items, width]."""
        self._users.assign(users)

    def match(self, forward: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Both directions as one, float32 [batch, num_items].

        Args:
            forward: scores s(u, v). float32 [batch, num_items]
            ids: of the users u. int64 [batch]

        """
        index = ids - self._first
        is_known = (index >= 0) & (index < self._num_users)
        items = tf.gather(self._item_of_user, tf.where(is_known, index, self._num_users))
        as_items = tf.gather(self._answers.items, tf.maximum(items, 0))
        backward = self._answers.positive(tf.matmul(as_items, self._users, transpose_b=True))
        forward = tf.maximum(self._answers.positive(forward), LEAST)
        has_both = (items >= 0)[:, None] & self._is_user
        both = tf.sqrt(forward * tf.where(has_both, tf.maximum(backward, LEAST), forward))
        is_self = tf.equal(items[:, None], tf.range(tf.size(self._is_user, tf.int64)))
        both = tf.where(is_self, 0.0, both)  # below LEAST: nobody is matched with themselves before all others
        return self._answers.from_positive(both)
