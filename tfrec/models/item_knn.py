r"""Nearest neighbours of items: what is taken by the same users goes together (Sarwar 2001; Deshpande & Karypis 2004).

.. math:: W_{ij} = \frac{x_i \cdot x_j}{\lVert x_i \rVert^{2a} \, \lVert x_j \rVert^{2b} + h}, \quad j \in N_n(i)

x_i is the column of item i in the user × item matrix, N_n(i) the n items of the largest W_ij, h the shrinkage. a = b =
0.5 is the cosine; a = 1, b = 0 the share of i's users who took j too; between them lies the asymmetric cosine (Aiolli
2013). A smaller b lets popular items through.

With explicit feedback x_i holds what the ratings of item i are above their baseline estimates b_ui
(`tfrec.models.profiles.rating_baselines`), and what is predicted is a rating (Sarwar 2001, section 3.2; Koren 2010,
equation 9):

.. math:: \hat r_{uj} = b_{uj} + \frac{\sum_{i \in R(u)} p_{ui} W_{ij} (r_{ui} - b_{ui})}
   {\sum_{i \in R(u)} p_{ui} W_{ij} + g}

Only neighbours of W_ij > 0 count; g, the certainty, draws a prediction from few neighbours to the baseline. With g = 0
and the user's mean as baseline this is Sarwar's weighted sum with the adjusted cosine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import numpy as np
import tensorflow as tf
from pydantic import Field
from scipy import sparse

from tfrec.dataset.records import Tensors
from tfrec.layers import TableShape
from tfrec.models.base import PredictsRatings, Reasons
from tfrec.models.inputs import ModelInputs
from tfrec.models.neighbours.item_to_item import DEVICE, ItemToItem, user_item_counts
from tfrec.models.neighbours.item_weights import NeighbourTable, table_width
from tfrec.models.neighbours.largest import blocks_of_like_length, largest_of_rows
from tfrec.models.profiles.rated_profiles import RatedItems, RatedProfiles
from tfrec.models.profiles.rating_baselines import (
    BaselineConfig,
    Estimates,
    RatingBaselines,
    latest_ratings,
    require_rated,
)
from tfrec.models.profiles.rating_pairs import ratings_of_pairs
from tfrec.models.profiles.reasons import POPULARITY, contributions
from tfrec.models.profiles.user_profiles import ProfileConfig, Profiles
from tfrec.schema import Schema

BLOCK_VALUES = 1 << 23  # similarities in memory at a time
BM25_SATURATION, BM25_LENGTH_SHARE = 1.2, 0.75  # k1 and b (Robertson 1994)


class ItemKNNConfig(ProfileConfig):
    """Choices of the neighbourhoods."""

    neighbours: int = Field(100, ge=1, description="kept of each item")
    shrinkage: float = Field(10.0, ge=0, description="h: similarities that few users stand behind become smaller")
    profile_power: float = Field(0.5, ge=0, le=1, description="a: of the item that the user has")
    candidate_power: float = Field(0.5, ge=0, le=1, description="b: of the item that is scored")
    weighting: Literal["binary", "tf_idf", "bm25"] = Field(
        "bm25",
        description="of an entry of the user × item matrix: 1; or how often the user took the item, damped, where "
        "users who took many items count less",
    )
    feedback: Literal["implicit", "explicit"] = Field(
        "implicit", description="explicit: the label is a rating; it is predicted, and lists are in its order"
    )
    baseline: BaselineConfig = Field(BaselineConfig(), description="of explicit feedback")
    certainty: float = Field(0.3, ge=0, description="g: similarity that stands for the baseline, of explicit feedback")


class ItemKNN(ItemToItem, PredictsRatings):
    """A sparse table of neighbours."""

    Config = ItemKNNConfig
    config: ItemKNNConfig
    _weights: NeighbourTable
    search_space: ClassVar[dict[str, str]] = {
        "model.neighbours": "logint(5, 500)",
        "model.shrinkage": "log(1, 300)",
        "model.candidate_power": "uniform(0, 0.8)",
        "model.half_life": "log(1, 50)",
    }

    def __init__(self, config: ItemKNNConfig, inputs: ModelInputs) -> None:
        super().__init__(config, inputs, lambda: NeighbourTable(inputs.num_items, config.neighbours), "item_knn")
        self._baselines: RatingBaselines | None = None
        if config.feedback == "explicit":
            require_rated(inputs)
            with tf.device(DEVICE):
                self._profiles: RatedProfiles = RatedProfiles(config, inputs, needs_ratings=True)
                self._baselines = RatingBaselines(config.baseline, inputs.num_items)

    @property
    def predicts_ratings(self) -> bool:
        return self.config.feedback == "explicit"

    @property
    def preferred_monitor(self) -> str | None:
        return "rmse" if self.config.feedback == "explicit" else None

    def _fit_weights(self, inputs: ModelInputs) -> None:
        if self._baselines is not None:
            users = self._baselines.fit(latest_ratings(inputs.train))
        else:
            users = weighted(user_item_counts(inputs.train), self.config.weighting)
        width = self._weights.width
        ids = np.zeros((inputs.num_items, width), np.int32)
        values = np.zeros((inputs.num_items, width), np.float32)
        for items, similarities in similarity_blocks(users, self.config, width):
            ids[items], values[items] = largest_of_rows(similarities, width)
        self._weights.assign(ids, values)

    def scores(self, features: Tensors) -> tf.Tensor:
        if self._baselines is None:
            return super().scores(features)
        with tf.device(DEVICE):
            estimates, rated = self._estimates(features)
            return self._predicted(estimates, rated)

    def predicted_ratings(self, features: Tensors) -> tf.Tensor:
        assert self._baselines is not None
        with tf.device(DEVICE):
            found = ratings_of_pairs(self.scores, features, self.inputs)
            return self._baselines.clip(found)

    def _estimates(self, features: Tensors) -> tuple[Estimates, RatedItems]:
        assert self._baselines is not None
        rated = self._profiles.rated(features).known()
        return self._baselines(rated, tf.shape(features[self.inputs.schema.user_id])[0]), rated

    def _predicted(self, estimates: Estimates, rated: RatedItems) -> tf.Tensor:
        """float32 [batch, num_items]"""
        batch = tf.shape(estimates.users)[0]
        deviation = self._weights.scores(Profiles(rated.rows, rated.items, rated.weights * estimates.residuals), batch)
        similarity = self._weights.scores(Profiles(rated.rows, rated.items, rated.weights), batch)
        neighbours = tf.math.divide_no_nan(deviation, similarity + self.config.certainty)
        return estimates.users[:, None] + estimates.items + neighbours

    def explain(self, features: Tensors, items: tf.Tensor, reasons: int) -> Reasons:
        """The items of the profile that raise the score most; of a predicted rating by how much, in its units."""
        if self._baselines is None:
            return super().explain(features, items, reasons)
        with tf.device(DEVICE):
            estimates, rated = self._estimates(features)
            profiles = Profiles(rated.rows, rated.items, rated.weights)
            similarity = self._weights.scores(profiles, tf.shape(items)[0])
            certainty = tf.gather(similarity, items, batch_dims=1) + self.config.certainty
            raised = Profiles(rated.rows, rated.items, rated.weights * estimates.residuals)
            ids = self.reason_source.item_ids
            found = contributions(raised, self._weights.of_pairs, items, reasons, ids)
            raise_by = tf.math.divide_no_nan(found.weights, certainty[:, :, None])
            return Reasons(found.labels, tf.where(found.labels == POPULARITY, found.weights, raise_by))

    @property
    def state(self) -> list[tf.Variable]:
        return [*super().state, *([] if self._baselines is None else self._baselines.state)]

    @classmethod
    def table_shapes(
        cls, config: ItemKNNConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        width = table_width(num_items, config.neighbours)
        return [TableShape("neighbours", num_items, width), TableShape("neighbour_weights", num_items, width)]


def weighted(counts: sparse.csr_array, weighting: str) -> sparse.csr_array:
    """Entries of the user × item matrix, float32, from how often each user took each item.

    A user is to an item what a word is to a document: idf_u = log(num_items / (1 + items of u)), at least 0.
    tf_idf: √n · idf_u. bm25: n (k + 1) / (n + k · l_i) · idf_u, where l_i compares the item's events with the mean's.
    """
    found = counts.copy()
    if weighting == "binary":
        found.data[:] = 1
        return found
    taken = np.diff(counts.indptr)
    idf = np.repeat(np.maximum(np.log(counts.shape[1] / (1 + taken)), 0), taken)
    if weighting == "tf_idf":
        found.data = np.sqrt(counts.data) * idf
    else:
        events = np.asarray(counts.sum(axis=0)).ravel()
        length = 1 - BM25_LENGTH_SHARE + BM25_LENGTH_SHARE * events / max(events.mean(), 1e-9)
        k = BM25_SATURATION
        found.data = counts.data * (k + 1) / (counts.data + k * length[counts.indices]) * idf
    found.data = found.data.astype(np.float32)
    return found


def similarity_blocks(
    users: sparse.csr_array, config: ItemKNNConfig, width: int
) -> Iterator[tuple[np.ndarray, sparse.csr_array]]:
    """Rows of W, a block at a time: item indices, and their similarities to all items, 0 to themselves.

    Args:
        users: the weighted user × item matrix.
        config: powers and shrinkage.
        width: values that are kept of each row.

    """
    by_item = users.T.tocsr()
    squares = np.asarray(users.multiply(users).sum(axis=0)).ravel()
    of_profile, of_candidate = squares**config.profile_power, squares**config.candidate_power
    lengths = np.minimum(by_item @ np.diff(users.indptr), users.shape[1])
    for items in blocks_of_like_length(lengths, width, BLOCK_VALUES):
        block = by_item[items] @ users
        row = np.repeat(np.arange(len(items)), np.diff(block.indptr))
        norms = (of_profile[items][row] * of_candidate[block.indices] + config.shrinkage).astype(np.float32)
        block.data /= np.maximum(norms, np.finfo(np.float32).tiny)  # ratings that all equal their estimates
        block.data[block.indices == items[row]] = 0
        yield items, block
