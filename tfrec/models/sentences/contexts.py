r"""Users' items as sentences: an item's context are the other items of its user, all of them or those near in time.

With n_u events of user u and E events in all, and places i of events in the user's order of time:

.. math:: p(u) = \frac{n_u}{E},\quad p(i \mid u) = \frac{1}{n_u},\quad p(j \mid i) = \frac{1}{|N(i)|},\quad
          N(i) = \{j \ne i : |j - i| \le \text{window}\}

So each event is as often a centre as any other, and shares its weight among its context: with the whole of a user's
items as the context (no window) that is the objective of item2vec (Barkan & Koenigstein 2016, eq. 1), whose sum over a
set of K items is divided by K; with a window, neighbours in time as in prod2vec (Grbovic et al. 2015).
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tfrec.dataset.interactions import Interactions


class Context(NamedTuple):
    """Items around the centres.

    Attributes:
        items: item indices, 0 where there is none. int64 [rows, width]
        is_there: bool [rows, width].

    """

    items: tf.Tensor
    is_there: tf.Tensor


class Sentences:
    """Draws from the users' training items; an event is known by its place in `train.items`."""

    def __init__(self, train: Interactions, window: int | None) -> None:
        """Keep the interactions.

        Args:
            train: by user, oldest first.
            window: places to either side that belong to the context; None: all events of the user.

        """
        self._splits = tf.constant(train.row_splits, tf.int64)
        self._items = tf.constant(train.items, tf.int64)
        self._window = window

    def draw_centres(self, users: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """An event of each user, all alike: user indices int [rows] → places int64 [rows].

        A user without training events gets a place of somebody else, whose context is empty.
        """
        first, end = self._bounds(users)
        return tf.minimum(first + _below(end - first, seed), tf.size(self._items, tf.int64) - 1)

    def items_at(self, places: tf.Tensor) -> tf.Tensor:
        """Item indices, int64 of the shape of `places`."""
        return tf.gather(self._items, places)

    def has_events(self, users: tf.Tensor) -> tf.Tensor:
        """Bool [rows]."""
        first, end = self._bounds(users)
        return end > first

    def draw_context(self, users: tf.Tensor, centres: tf.Tensor, width: int, seed: tf.Tensor) -> Context:
        """`width` events of each centre's context, independent of each other and all alike."""
        first, end = self._reach(users, centres)
        others = end - first - 1
        rows = tf.shape(centres)[0]
        drawn = first[:, None] + _below(tf.repeat(others[:, None], width, axis=1), seed)
        drawn += tf.cast(drawn >= centres[:, None], tf.int64)  # the centre is no context of itself
        is_there = tf.broadcast_to((others > 0)[:, None], [rows, width])
        return self._context(drawn, is_there)

    def whole_context(self, users: tf.Tensor, centres: tf.Tensor) -> Context:
        """All events within the window, oldest first; width 2 · window."""
        assert self._window is not None
        first, end = self._reach(users, centres)
        steps = [step for step in range(-self._window, self._window + 1) if step]
        places = centres[:, None] + tf.constant(steps, tf.int64)
        return self._context(places, (places >= first[:, None]) & (places < end[:, None]))

    def _context(self, places: tf.Tensor, is_there: tf.Tensor) -> Context:
        items = self.items_at(tf.where(is_there, places, 0))
        return Context(tf.where(is_there, items, 0), is_there)

    def _bounds(self, users: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(self._splits, users), tf.gather(self._splits, users + 1)

    def _reach(self, users: tf.Tensor, centres: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """First place of the context and the place behind its last, the centre among them."""
        first, end = self._bounds(users)
        if self._window is None:
            return first, end
        return tf.maximum(first, centres - self._window), tf.minimum(end, centres + self._window + 1)


def _below(counts: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A number from 0 to count − 1 for each count, all alike; 0 where the count is none. int64 of the same shape"""
    uniform = tf.random.stateless_uniform(tf.shape(counts), seed, dtype=tf.float64)
    drawn = tf.cast(uniform * tf.cast(counts, tf.float64), tf.int64)
    return tf.maximum(tf.minimum(drawn, counts - 1), 0)
