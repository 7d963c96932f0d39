"""The contract of all models.

A model is built from its config and `ModelInputs`, learns (`learning.py`), and then answers on encoded features: a
retrieval model scores the whole catalogue for a user, a ranking model gives one logit per (user, item, context) row.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.models.ranking import CalibratedConfig, RankingModel, TaskLabels
from tfrec.models.recommender import ModelConfig, Recommender, Task
from tfrec.schema import Schema

if TYPE_CHECKING:  # both are built on this file
    from tfrec.models.profiles.reasons import ReasonSource
    from tfrec.models.profiles.user_profiles import UserProfiles

__all__ = [
    "CalibratedConfig",
    "ModelConfig",
    "PredictsContext",
    "PredictsRatings",
    "RankingModel",
    "Reasons",
    "Recommender",
    "RetrievalModel",
    "Task",
    "TaskLabels",
    "TwoTowerEmbeddings",
    "chosen",
    "rates",
]


class Reasons(NamedTuple):
    """Why items are recommended, the weightiest reason first.

    Attributes:
        labels: string [batch, n, reasons]; `item:<raw item id>` for an item that the user took, `<feature>=<value>` for
            a feature that matched, `popularity`; "" where there are fewer.
        weights: float32 [batch, n, reasons], on a scale of the model's own; 0 where there are fewer.

    """

    labels: tf.Tensor
    weights: tf.Tensor


class RetrievalModel(Recommender):
    """Scores every item of the catalogue for each user."""

    task: ClassVar[Task] = "retrieval"

    @abc.abstractmethod
    def scores(self, features: Tensors) -> tf.Tensor:
        """Score the catalogue.

        Args:
            features: encoded user and context features, [batch] or [batch, width].

        Returns:
            float32 [batch, num_items], in the order of item indices; higher is better, always finite.

        """

    def refresh(self) -> None:
        """Recompute what `scores` derives from the weights, such as item vectors. Called after training."""

    def embeddings(self) -> TwoTowerEmbeddings | None:
        """The two towers, where the model has them."""
        return None

    def next_context(self) -> PredictsContext | None:
        """What says what the user's next event is besides its item, where the model does."""
        return None

    def explain(self, features: Tensors, items: tf.Tensor, reasons: int) -> Reasons:
        """Say why items are recommended: by default the items of the user's profile whose vectors are nearest.

        Args:
            features: encoded user and context features: `features_for_reasons`.
            items: item indices. int64 [batch, n]
            reasons: of each item, at most.

        """
        from tfrec.models.profiles.reasons import nearest_in_profile  # built on this file

        source, vectors = self.reason_source, self.item_vectors_for_reasons()
        if vectors is None:
            raise NotImplementedError(f"{type(self).__name__} needs item_vectors_for_reasons or its own explain")
        return nearest_in_profile(source.profiles(features), vectors, items, reasons, source.item_ids)

    def item_vectors_for_reasons(self) -> tf.Tensor | None:
        """Vectors whose cosine says how alike two items are to the model. float32 [num_items, dim]"""
        return None

    def profiles_for_reasons(self) -> UserProfiles:
        """What the user took, as far as the model reads it; a model that has profiles in its state returns those."""
        from tfrec.models.profiles.user_profiles import ProfileConfig, UserProfiles  # built on this file

        reads_history = self.inputs.schema.history in self.required_features
        return UserProfiles(ProfileConfig(profile="both" if reads_history else "training"), self.inputs)

    @cached_property
    def reason_source(self) -> ReasonSource:
        """What explanations are made of besides the model; made when first asked for."""
        # A cached property is set behind Keras' back: no checkpoint and no optimiser gets to see it.
        from tfrec.models.profiles.reasons import ReasonSource  # built on this file

        return ReasonSource(self.profiles_for_reasons(), self.inputs.catalogue.ids)

    @property
    def state_for_reasons(self) -> list[tf.Variable]:
        """Variables that explaining needs besides `state`."""
        return self.reason_source.state

    @property
    def features_for_reasons(self) -> frozenset[str]:
        """Encoded features that explaining reads."""
        return self.required_features | self.reason_source.profiles.required_features


class TwoTowerEmbeddings(abc.ABC):
    """A retrieval model whose score is a dot product of two vectors."""

    @abc.abstractmethod
    def embed_users(self, features: Tensors) -> tf.Tensor:
        """Encoded user and context features → float32 [batch, dim]."""

    @abc.abstractmethod
    def embed_items(self, features: Tensors) -> tf.Tensor:
        """Encoded item features → float32 [batch, dim]."""


class PredictsContext(abc.ABC):
    """A retrieval model that says what the user's next event is besides its item, such as of which type."""

    @property
    @abc.abstractmethod
    def predicted_tokens(self) -> Mapping[str, np.ndarray]:
        """Context feature that is predicted → its values in the order of their ids. object (bytes) [tokens]"""

    @abc.abstractmethod
    def context_probabilities(self, features: Tensors) -> Tensors:
        """Encoded user and context features → feature → float32 [batch, tokens]; rows add up to 1.

        What a request says of a predicted feature itself is not looked at.
        """


class PredictsRatings(abc.ABC):
    """A retrieval model that says what a user would give an item, in units of the label.

    It is judged by the errors of its predictions too, where the label is a value and not binary, and its `scores` are
    the predicted ratings of all items.
    """

    config: ModelConfig

    @property
    def predicts_ratings(self) -> bool:
        """Whether this config does; it may read `self.config` alone."""
        return True

    @abc.abstractmethod
    def predicted_ratings(self, features: Tensors) -> tf.Tensor:
        """Encoded user features and `ITEM_INDEX` int64 [batch] → float32 [batch], in units of the label."""


def chosen(model: type[Recommender], name: str, config: ModelConfig) -> Any:
    """A class attribute, or a property that reads `self.config` alone, before the model is built."""
    found = getattr(model, name)
    if isinstance(found, property):
        assert found.fget is not None
        return found.fget(SimpleNamespace(config=config))
    return found


def rates(model: type[Recommender], config: ModelConfig, schema: Schema) -> bool:
    """Whether a model of this config predicts ratings on a dataset of this schema: its label must be a value."""
    is_value = schema.label is not None and not schema.label.is_binary
    return is_value and issubclass(model, PredictsRatings) and bool(chosen(model, "predicts_ratings", config))
