r"""Transitions counted: what comes next follows from the last items, each for itself (Raftery 1985).

.. math::
   s(u, j) = \sum_{r=0}^{n-1} 2^{-r / \text{half\_life}} \, \frac{\hat P(j \mid i_{u,r})}{c_j^{\,b}}, \quad
   \hat P(j \mid i) = \frac{C_{ij} + h \, c_j / N}{\sum_k C_{ik} + h}

i_{u,r} is the user's last item but r, n the order, c_j the training events of item j and N all of them: an item whose
followers were seldom seen backs off to popularity. C_ij counts how often j came after i, at most `distance` events
later, a pair at distance d and gap t as :math:`2^{-(d - 1) / h_d} 2^{-t / h_t}`. Order 1 and distance 1 are the Markov
chain of first order. A mixture of single transitions instead of the counts of whole n-grams: most of these never
occurred.

A. E. Raftery: A model for high-order Markov chains (JRSS B 1985), equation 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import tensorflow as tf
from pydantic import Field
from scipy import sparse

from tfrec.dataset.interactions import Interactions
from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError
from tfrec.layers import TableShape
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import frozen_variable
from tfrec.models.neighbours.item_to_item import DEVICE, ItemToItem
from tfrec.models.neighbours.item_weights import NeighbourTable, table_width
from tfrec.models.neighbours.largest import blocks_of_like_length, largest_of_rows
from tfrec.models.profiles.user_profiles import ProfileConfig, Profiles, UserProfiles, items_since
from tfrec.schema import Schema

BLOCK_VALUES = 1 << 23  # transitions in memory at a time, laid out densely
MS_PER_HOUR = 3_600_000


class MarkovConfig(ProfileConfig):
    """Choices of the transitions."""

    half_life: float | None = Field(
        2.0, gt=0, description="items after which an item of the profile weighs one half; null: all weigh the same"
    )
    order: int = Field(10, ge=1, description="n: last distinct items of the user that count; 1: the very last alone")
    distance: int = Field(10, ge=1, description="events apart at most that a pair counts as a transition")
    distance_half_life: float | None = Field(
        3.0, gt=0, description="h_d: events apart after which a pair counts half; null: all count alike"
    )
    gap_half_life_hours: float | None = Field(
        None, gt=0, description="h_t: time between the two events after which a pair counts half; null: time is ignored"
    )
    shrinkage: float = Field(100.0, ge=0, description="h: of an item with so many transitions half is popularity")
    popularity_power: float = Field(0.2, ge=0, le=1, description="b: how much popular items are held back")
    followers: int = Field(500, ge=1, description="kept of each item, the most probable ones")


class LastItems(UserProfiles):
    """Profiles of the last items alone."""

    def __init__(self, config: MarkovConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs)
        self._order = config.order

    def __call__(self, features: Tensors) -> Profiles:
        profiles = super().__call__(features)
        is_last = items_since(profiles.rows) < self._order
        return Profiles(*(tf.boolean_mask(values, is_last) for values in profiles))


class Markov(ItemToItem):
    """A sparse table of transitions, and for each item how much of it is popularity."""

    Config = MarkovConfig
    config: MarkovConfig
    _weights: NeighbourTable
    search_space: ClassVar[dict[str, str]] = {
        "model.order": "logint(1, 30)",
        "model.half_life": "log(0.5, 20)",
        "model.distance": "logint(1, 20)",
        "model.distance_half_life": "log(0.5, 20)",
        "model.shrinkage": "log(1, 3000)",
        "model.popularity_power": "uniform(0, 0.6)",
    }

    def __init__(self, config: MarkovConfig, inputs: ModelInputs) -> None:
        """Build an empty table.

        Raises:
            ConfigError: gaps are asked for, and the dataset has no times.

        """
        if config.gap_half_life_hours is not None and inputs.train.times_ms is None:
            raise ConfigError(
                f"model.gap_half_life_hours={config.gap_half_life_hours:g}: the dataset has no timestamp; leave it "
                "out, or add 'timestamp' to dataset.yaml"
            )
        super().__init__(config, inputs, lambda: NeighbourTable(inputs.num_items, config.followers), "markov")
        with tf.device(DEVICE):
            self._profiles = LastItems(config, inputs)
            self._back_off = frozen_variable(tf.zeros([inputs.num_items]), "back_off")
            self._popularity = frozen_variable(tf.zeros([inputs.num_items]), "popularity")

    def _fit_weights(self, inputs: ModelInputs) -> None:
        counts = transition_counts(inputs.train, self.config)
        events, shrinkage = inputs.train.item_counts(), self.config.shrinkage
        held_back = np.maximum(events, 1.0) ** -self.config.popularity_power
        certainty = np.asarray(counts.sum(axis=1)).ravel() + shrinkage
        certainty[certainty == 0] = 1  # an item without transitions has nothing to divide
        self._back_off.assign((shrinkage / certainty).astype(np.float32))
        self._popularity.assign((held_back * events / max(events.sum(), 1)).astype(np.float32))
        counts.data = (counts.data * held_back[counts.indices] / np.repeat(certainty, np.diff(counts.indptr))).astype(
            np.float32
        )
        width = self._weights.width
        ids = np.zeros((inputs.num_items, width), np.int32)
        values = np.zeros((inputs.num_items, width), np.float32)
        for items in blocks_of_like_length(np.diff(counts.indptr), width, BLOCK_VALUES):
            ids[items], values[items] = largest_of_rows(counts[items], width)
        self._weights.assign(ids, values)

    def scores(self, features: Tensors) -> tf.Tensor:
        with tf.device(DEVICE):
            batch = tf.shape(features[self.inputs.schema.user_id])[0]
            profiles = self._profiles(features)
            unsure = profiles.weights * tf.gather(self._back_off, profiles.items)
            shares = tf.math.unsorted_segment_sum(unsure, profiles.rows, batch)
            return self._weights.scores(profiles, batch) + shares[:, None] * self._popularity + self._tie_break

    @property
    def state(self) -> list[tf.Variable]:
        return [*super().state, self._back_off, self._popularity]

    @classmethod
    def searched(cls, schema: Schema) -> dict[str, str]:
        gaps = {} if schema.timestamp is None else {"model.gap_half_life_hours": "log(0.1, 10000)"}
        return {**cls.search_space, **gaps}

    @classmethod
    def table_shapes(
        cls, config: MarkovConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        width = table_width(num_items, config.followers)
        return [TableShape("followers", num_items, width), TableShape("follower_weights", num_items, width)]


def transition_counts(train: Interactions, config: MarkovConfig) -> sparse.csr_array:
    """C, float64 [num_items, num_items]."""
    shape = (train.num_items, train.num_items)
    total = sparse.csr_array(shape)
    users = train.users
    for apart in range(1, min(config.distance, train.num_events - 1) + 1):
        before = np.flatnonzero(users[:-apart] == users[apart:])
        if not len(before):  # no user has so many events
            break
        weights = np.ones(len(before))
        if config.distance_half_life is not None:
            weights *= 2.0 ** (-(apart - 1) / config.distance_half_life)
        if config.gap_half_life_hours is not None:
            assert train.times_ms is not None
            hours = (train.times_ms[before + apart] - train.times_ms[before]) / MS_PER_HOUR
            weights *= np.exp2(-hours / config.gap_half_life_hours)
        pairs = (train.items[before], train.items[before + apart])
        total = total + sparse.coo_array((weights, pairs), shape=shape).tocsr()
    return total
