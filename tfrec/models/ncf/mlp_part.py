"""Tables and a tower over the vectors of a pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfrec.layers.tables import look_up
from tfrec.models.inputs import ModelInputs
from tfrec.models.ncf.pair_part import PairLogits, PairPart
from tfrec.models.ncf.pair_rows import pair_rows
from tfrec.models.ncf.pair_tower import PairTower


class MlpPart(PairPart):
    """The vectors of a user and an item side by side, through a `PairTower`."""

    def __init__(
        self,
        inputs: ModelInputs,
        item_lookups: np.ndarray,
        dim: int,
        *,
        layers: int,
        dropout: float,
        l2: float,
        stddev: float,
        seed: int,
    ) -> None:
        """As `PairPart`; `layers` and `dropout` are the tower's."""
        super().__init__(inputs, item_lookups, dim, l2=l2, stddev=stddev, seed=seed, name="mlp")
        self._layers = layers
        self.tower = PairTower(dim, layers, dropout=dropout, seed=seed, name="mlp_tower")

    @property
    def dropouts(self) -> int:
        return self._layers

    def pair_logits(
        self, users: tf.Tensor, items: tf.Tensor, seeds: Sequence[tf.Tensor] | None, compute_type: tf.DType
    ) -> PairLogits:
        of_users, of_items, tower = self.users.look_up(users), self.items.look_up(items), self.tower
        sums = pair_rows(tower.of_users(of_users.rows), tower.of_items(of_items.rows), of_users.places, of_items.places)
        logits = tower.logits(tf.reshape(sums, [-1, tower.widths[0]]), seeds, compute_type)
        return PairLogits(tf.reshape(logits, tf.shape(items)), of_users.penalty + of_items.penalty)

    def user_inputs(self, ids: tf.Tensor) -> tf.Tensor:
        """The users' part of the first layer. int64 [batch] → float32 [batch, widths[0]]"""
        return self.tower.of_users(look_up(self.users.variable, ids))

    def item_inputs(self, ids: tf.Tensor) -> tf.Tensor:
        """The items' part of the first layer. int64 [n] → float32 [n, widths[0]]"""
        return self.tower.of_items(look_up(self.items.variable, ids))

    @property
    def user_state(self) -> list[tf.Variable]:
        """What the user's side and the tower need, when the items' part of the first layer is known."""
        tower = self.tower
        first = [self.users.variable, tower.user_kernel, tower.first_bias]
        return [*first, *tower.kernels, *tower.biases, tower.output, tower.output_bias]
