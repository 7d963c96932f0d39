r"""Matrix factorisation by alternating least squares: each half step is solved exactly (Hu et al. 2008; Zhou 2008).

Implicit feedback, all cells of the user × item matrix, in which what was taken (set S) is drawn to 1 and everything a
little to 0 (Hu, Koren & Volinsky 2008, in the form of Rendle, Krichene, Zhang & Koren 2022, "Revisiting iALS"):

.. math:: \sum_{(u,i) \in S} r_{ui} (1 - x_u \cdot y_i)^2 + w_0 \sum_{u,i} (x_u \cdot y_i)^2
   + \lambda \Bigl(\sum_u n_u^\nu \lVert x_u \rVert^2 + \sum_i n_i^\nu \lVert y_i \rVert^2\Bigr),
   \quad n_u = \sum_{i \in S_u} r_{ui} + w_0 |I|

Up to a common scale w₀ is the inverse of Hu's α. Explicit feedback, ratings alone (Zhou, Wilkinson, Schreiber & Pan
2008, whose weighted-λ-regularisation is ν = 1; with biases as in Koren, Bell & Volinsky 2009):

.. math:: \sum_{(u,i) \in S} (r_{ui} - \mu - b_u - b_i - x_u \cdot y_i)^2
   + \lambda \Bigl(\sum_u n_u^\nu \lVert x_u \rVert^2 + \sum_i n_i^\nu \lVert y_i \rVert^2\Bigr)
   + \lambda_b \Bigl(\sum_u b_u^2 + \sum_i b_i^2\Bigr), \quad n_u = |S_u|

Items have vectors that were learnt. A user's is solved for in every request from what the user took, so users who were
not there in training, or took something since, are answered like all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError
from tfrec.layers import TableShape
from tfrec.models.base import PredictsRatings, Reasons, RetrievalModel, TwoTowerEmbeddings
from tfrec.models.factors.als_explicit import ExplicitFactors
from tfrec.models.factors.als_implicit import ImplicitFactors
from tfrec.models.factors.als_training import Ridge, first_vectors
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import FittedModel
from tfrec.models.profiles.rating_pairs import ratings_of_pairs
from tfrec.models.profiles.user_profiles import ProfileConfig, UserProfiles
from tfrec.schema import CategoricalFeature, Schema

DEFAULT_L2 = {"implicit": 0.01, "explicit": 1.2}
DEFAULT_L2_EXPONENT = {"implicit": 1.0, "explicit": 0.5}


class ALSConfig(ProfileConfig):
    """Choices of the factorisation."""

    feedback: Literal["implicit", "explicit"] = Field(
        "implicit", description="explicit: the label is a rating; it is predicted, and lists are in its order"
    )
    embedding_dim: int = Field(64, ge=1)
    passes: int = Field(15, ge=1, description="over users and items")
    l2: float | None = Field(None, gt=0, description="λ; null: 0.01 of implicit feedback, 1.2 of explicit")
    l2_exponent: float | None = Field(
        None,
        ge=0,
        le=1,
        description="ν; 1: in proportion to how often a user or item occurs, 0: the same for all; null: 1 of implicit "
        "feedback, 0.5 of explicit",
    )
    unobserved_weight: float = Field(0.15, gt=0, description="w₀, of implicit feedback; Hu's α is its inverse")
    weighting: Literal["binary", "events"] = Field(
        "binary",
        description="r, of implicit feedback: 1; or the sum of the weights of the events of a user with an item, "
        "each 1 where the dataset has no weight. What a request's history adds counts 1",
    )
    bias_l2: float = Field(2.0, gt=0, description="λ of the biases, of explicit feedback")
    initial_stddev: float = Field(0.1, gt=0, description="of the first item vectors, times √dim")


class ALS(RetrievalModel, FittedModel, PredictsRatings, TwoTowerEmbeddings, tf.Module):
    """Item vectors, and users as the solutions of their own least squares."""

    Config = ALSConfig
    config: ALSConfig
    has_seed: ClassVar[bool] = True  # of the vectors that the first pass starts from
    search_space: ClassVar[dict[str, str]] = {
        "model.embedding_dim": "[32, 64, 128]",
        "model.l2": "log(0.001, 0.05)",
        "model.unobserved_weight": "log(0.01, 1)",
        "model.half_life": "log(1, 50)",
    }

    def __init__(self, config: ALSConfig, inputs: ModelInputs) -> None:
        """Make room for the item vectors.

        Raises:
            ConfigError: feedback is explicit, and the dataset has no ratings; or there is no history to read.

        """
        tf.Module.__init__(self, name="als")
        self.config = config
        self.inputs = inputs
        self._ridge = Ridge(
            DEFAULT_L2[config.feedback] if config.l2 is None else config.l2,
            DEFAULT_L2_EXPONENT[config.feedback] if config.l2_exponent is None else config.l2_exponent,
        )
        self._factors: ExplicitFactors | ImplicitFactors
        if config.feedback == "explicit":
            self._factors = ExplicitFactors(config, self._ridge, inputs)
        else:
            self._factors = ImplicitFactors(config, self._ridge, inputs)

    @property
    def predicts_ratings(self) -> bool:
        return self.config.feedback == "explicit"

    @property
    def preferred_monitor(self) -> str | None:
        return "rmse" if self.config.feedback == "explicit" else None

    def fit(self, inputs: ModelInputs) -> None:
        """Solve for users and items by turns.

        Raises:
            ConfigError: the equations are singular in float32.

        """
        config = self.config
        start = first_vectors(inputs.num_items, config.embedding_dim, config.initial_stddev, self.seed)
        try:
            items = self._factors.fit(inputs.train, start)
        except tf.errors.InvalidArgumentError:
            items = tf.constant(np.nan)
        if not bool(tf.reduce_all(tf.math.is_finite(items))):
            raise ConfigError(
                f"model.l2={self._ridge.l2:g}: too small, the equations are singular in float32; raise it"
            )

    def scores(self, features: Tensors) -> tf.Tensor:
        return self._factors.scores(features)

    def predicted_ratings(self, features: Tensors) -> tf.Tensor:
        """Within the range of the training ratings: nobody gives less or more."""
        assert isinstance(self._factors, ExplicitFactors)
        return self._factors.clip(ratings_of_pairs(self.scores, features, self.inputs))

    def embeddings(self) -> TwoTowerEmbeddings:
        return self

    def embed_users(self, features: Tensors) -> tf.Tensor:
        return self._factors.users(features)

    def embed_items(self, features: Tensors) -> tf.Tensor:
        """Zeros for an item that is not in the catalogue."""
        feature = self.inputs.schema.features[self.inputs.schema.item_id]
        assert isinstance(feature, CategoricalFeature)
        index = tf.cast(features[self.inputs.schema.item_id], tf.int64) - feature.first_token_id
        is_known = (index >= 0) & (index < self.inputs.num_items)
        return tf.where(is_known[:, None], tf.gather(self._factors.items(), tf.where(is_known, index, 0)), 0.0)

    def explain(self, features: Tensors, items: tf.Tensor, reasons: int) -> Reasons:
        """Of implicit feedback exactly what adds to the score, of explicit the items whose vectors are nearest."""
        if isinstance(self._factors, ImplicitFactors):
            return self._factors.explain(features, items, reasons, self.reason_source.item_ids)
        return super().explain(features, items, reasons)

    def item_vectors_for_reasons(self) -> tf.Tensor:
        return self._factors.items()[:, : self.config.embedding_dim]

    def profiles_for_reasons(self) -> UserProfiles:
        return self._factors.profiles

    @property
    def state(self) -> list[tf.Variable]:
        return self._factors.state

    @property
    def required_features(self) -> frozenset[str]:
        return self._factors.profiles.required_features

    @classmethod
    def table_shapes(
        cls, config: ALSConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        dim = config.embedding_dim
        # Learning keeps the users too, and each side twice: before and after a half step.
        return [
            TableShape("item_vectors", num_items, 2 * dim),
            TableShape("user_vectors", num_ids[schema.user_id], 2 * dim),
        ]
