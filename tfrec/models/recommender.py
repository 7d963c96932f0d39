"""What all models are, whatever they are asked."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import tensorflow as tf

from tfrec.config_file import Config
from tfrec.layers.tables import TableShape
from tfrec.models.inputs import ModelInputs
from tfrec.schema import Schema

Task = Literal["retrieval", "ranking"]


class ModelConfig(Config):
    """Base of the models' configs."""


class Recommender(abc.ABC):
    """What evaluation and export rely on."""

    task: ClassVar[Task]
    Config: ClassVar[type[ModelConfig]]
    # Training defaults that suit this model better than the trainer's own; keys of the trainer's `train` section.
    training_defaults: ClassVar[dict[str, Any]] = {}
    # What `python -m trainer.tune` searches if it is not told: config key → range, written as in its --space.
    search_space: ClassVar[dict[str, str]] = {}

    has_seed: ClassVar[bool]  # whether another seed gives other answers

    config: ModelConfig
    inputs: ModelInputs

    @property
    def preferred_monitor(self) -> str | None:
        """The validation metric that decides unless the job names one; None for the usual one of the task."""
        return None

    @property
    def reads_user_ids(self) -> bool:
        """Whether a model of this config wants `inputs.user_ids`: one that has `reciprocal` and is told so."""
        return bool(getattr(self.config, "reciprocal", False))

    @classmethod
    def searched(cls, schema: Schema) -> dict[str, str]:
        """What of `search_space` a dataset of this schema has a use for."""
        return dict(cls.search_space)

    @classmethod
    def table_shapes(cls, config: Any, schema: Schema, num_ids: Mapping[str, int], num_items: int) -> list[TableShape]:
        """What grows with the vocabularies or the catalogue, before anything is allocated.

        Args:
            config: of this model.
            schema: of the dataset.
            num_ids: feature → number of its ids.
            num_items: size of the catalogue.

        """
        return []

    @property
    @abc.abstractmethod
    def state(self) -> list[tf.Variable]:
        """All variables that answering needs; export saves these and nothing else."""

    @property
    @abc.abstractmethod
    def required_features(self) -> frozenset[str]:
        """Encoded features that answering reads."""
