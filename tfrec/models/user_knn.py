r"""Nearest neighbours of users: what is taken by those who took the same (Resnick 1994; Herlocker 1999).

.. math:: w_{uv} = \Bigl(\frac{\max(x_u \cdot x_v, 0)}{\lVert x_u \rVert \, \lVert x_v \rVert + h}\Bigr)^\rho, \quad
   s(u, j) = \sum_{v \in N_n(u)} w_{uv} \, [v \text{ took } j]

x_v is the row of user v in the user × item matrix, an entry a power of the log of the inverse share of users who took
the item; N_n(u) are the n other users of the largest w_uv. h, the shrinkage, does what Herlocker's significance
weighting does: where all entries are 1 and both users took n items, w is the cosine times n / (n + h). ρ is the case
amplification of Breese (1998).

With explicit feedback x_v holds what v's ratings are above their baseline estimates b_vj
(`tfrec.models.profiles.rating_baselines`; with kind=user the correlation of Herlocker, mean-centred), and

.. math:: \hat r_{uj} = b_{uj} + \frac{\sum_{v \in N_n(u) \cap R(j)} w_{uv} (r_{vj} - b_{vj})}
   {\sum_{v \in N_n(u) \cap R(j)} w_{uv} + g}

with R(j) who rated j; g, the certainty, draws a prediction from few neighbours to the baseline. The user's side
is a profile (`tfrec.models.profiles.user_profiles`), so a new user finds neighbours by the history of the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import tensorflow as tf
from pydantic import Field
from scipy import sparse

from tfrec.dataset.records import Tensors
from tfrec.layers import TableShape
from tfrec.models.base import PredictsRatings, Reasons, RetrievalModel
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import FittedModel, frozen_variable
from tfrec.models.neighbours.item_to_item import DEVICE, user_item_counts
from tfrec.models.neighbours.neighbourhoods import BLOCK_VALUES, Neighbourhoods, Query
from tfrec.models.profiles.cold_start import popularity_prior
from tfrec.models.profiles.rated_profiles import RatedProfiles
from tfrec.models.profiles.rating_baselines import BaselineConfig, RatingBaselines, latest_ratings, require_rated
from tfrec.models.profiles.rating_pairs import ratings_of_pairs
from tfrec.models.profiles.reasons import item_reasons, or_popularity
from tfrec.models.profiles.user_profiles import ProfileConfig, UserProfiles
from tfrec.schema import CategoricalFeature, Schema


class UserKNNConfig(ProfileConfig):
    """Choices of the neighbourhoods."""

    neighbours: int = Field(100, ge=1, description="n: users who are asked")
    shrinkage: float = Field(10.0, ge=0, description="h: similarities that few items stand behind become smaller")
    idf_power: float = Field(
        0.5, ge=0, le=2, description="how much more an item says that few users took; 0: all say the same"
    )
    amplification: float = Field(1.0, ge=1, description="ρ: above 1 the nearest of the neighbours say more")
    feedback: Literal["implicit", "explicit"] = Field(
        "implicit", description="explicit: the label is a rating; it is predicted, and lists are in its order"
    )
    baseline: BaselineConfig = Field(BaselineConfig(), description="of explicit feedback")
    certainty: float = Field(0.3, ge=0, description="g: similarity that stands for the baseline, of explicit feedback")


class UserKNN(RetrievalModel, FittedModel, PredictsRatings, tf.Module):
    """The training users as a sparse matrix, in which every request looks for its neighbours."""

    Config = UserKNNConfig
    config: UserKNNConfig
    search_space: ClassVar[dict[str, str]] = {
        "model.neighbours": "logint(20, 1000)",
        "model.shrinkage": "log(1, 300)",
        "model.idf_power": "uniform(0, 1.5)",
        "model.amplification": "uniform(1, 4)",
        "model.half_life": "log(1, 50)",
    }

    def __init__(self, config: UserKNNConfig, inputs: ModelInputs) -> None:
        tf.Module.__init__(self, name="user_knn")
        self.config = config
        self.inputs = inputs
        user = inputs.schema.features[inputs.schema.user_id]
        assert isinstance(user, CategoricalFeature)
        self._first_user = user.first_token_id
        self._baselines: RatingBaselines | None = None
        with tf.device(DEVICE):
            if config.feedback == "explicit":
                require_rated(inputs)
                self._baselines = RatingBaselines(config.baseline, inputs.num_items)
            self._profiles = RatedProfiles(config, inputs, needs_ratings=self._baselines is not None)
            matrix = user_item_counts(inputs.train)
            self._neighbourhoods = Neighbourhoods(matrix, config.neighbours, config.shrinkage, config.amplification)
            self._item_weights = frozen_variable(tf.ones([inputs.num_items]), "item_weights")
            self._tie_break = frozen_variable(tf.zeros([inputs.num_items]), "tie_break")

    @property
    def predicts_ratings(self) -> bool:
        return self.config.feedback == "explicit"

    @property
    def preferred_monitor(self) -> str | None:
        return "rmse" if self.config.feedback == "explicit" else None

    def fit(self, inputs: ModelInputs) -> None:
        self._tie_break.assign(popularity_prior(inputs.train.item_counts()))
        if self._baselines is not None:
            matrix = self._baselines.fit(latest_ratings(inputs.train))
        else:
            matrix = user_item_counts(inputs.train)
            weights = item_weights(matrix, self.config.idf_power)
            self._item_weights.assign(weights)
            matrix.data = weights[matrix.indices]
        self._neighbourhoods.assign(matrix)

    def scores(self, features: Tensors) -> tf.Tensor:
        with tf.device(DEVICE):
            query, baseline = self._query(features)
            if baseline is None:
                return self._neighbourhoods.support(query) + self._tie_break
            support, values = self._neighbourhoods.support_and_values(query)
            return baseline + tf.math.divide_no_nan(values, support + self.config.certainty)

    def predicted_ratings(self, features: Tensors) -> tf.Tensor:
        assert self._baselines is not None
        with tf.device(DEVICE):
            return self._baselines.clip(ratings_of_pairs(self.scores, features, self.inputs))

    def _query(self, features: Tensors) -> tuple[Query, tf.Tensor | None]:
        """Vectors of the users, and b_ui float32 [batch, num_items] where ratings are predicted."""
        users = tf.cast(features[self.inputs.schema.user_id], tf.int64) - self._first_user
        is_known = (users >= 0) & (users < self.inputs.num_users)
        rated = self._profiles.rated(features)
        if self._baselines is None:
            values, baseline = rated.weights * tf.gather(self._item_weights, rated.items), None
        else:
            rated = rated.known()
            estimates = self._baselines(rated, tf.shape(users)[0])
            values, baseline = rated.weights * estimates.residuals, estimates.users[:, None] + estimates.items
        shape = tf.stack([tf.size(users, tf.int64), self.inputs.num_items])
        vectors = tf.scatter_nd(tf.stack([rated.rows, rated.items], axis=1), values, shape)
        return Query(vectors, tf.where(is_known, users, -1)), baseline

    def explain(self, features: Tensors, items: tf.Tensor, reasons: int) -> Reasons:
        """The items of the user by which the neighbours were found who speak for the recommended one."""
        with tf.device(DEVICE):
            query, baseline = self._query(features)
            found, parts = self._neighbourhoods.parts(query, items, reasons, of_values=baseline is not None)
            if baseline is not None:
                support = tf.gather(self._neighbourhoods.support(query), items, batch_dims=1)
                parts = tf.math.divide_no_nan(parts, support[:, :, None] + self.config.certainty)
            return or_popularity(item_reasons(found, parts, self.reason_source.item_ids))

    def profiles_for_reasons(self) -> UserProfiles:
        return self._profiles

    @property
    def state(self) -> list[tf.Variable]:
        more = [] if self._baselines is None else self._baselines.state
        return [*self._neighbourhoods.state, *self._profiles.state, self._item_weights, self._tie_break, *more]

    @property
    def required_features(self) -> frozenset[str]:
        return self._profiles.required_features

    @classmethod
    def table_shapes(
        cls, config: UserKNNConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        # Entries of the matrix are as many as distinct training pairs: less than the data, which is counted apart.
        users = num_ids[schema.user_id]
        values = max(BLOCK_VALUES, users, num_items)  # similarities, and twice what the neighbours say
        return [TableShape("norms_and_splits", users, 3), TableShape("block_of_queries", 3, values)]


def item_weights(counts: sparse.csr_array, power: float) -> np.ndarray:
    """float32 [num_items]: log((1 + users) / (1 + users who took the item)), at least 0, to this power."""
    takers = np.bincount(counts.indices, minlength=counts.shape[1])
    return (np.log((1 + counts.shape[0]) / (1 + takers)) ** power).astype(np.float32)
