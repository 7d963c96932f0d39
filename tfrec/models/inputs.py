"""What a model is built from: the schema, the size of each vocabulary, the catalogue, and how often items occur."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfrec.dataset.directory import RAW_PREFIX, VOCABULARY, DatasetDirectory
from tfrec.dataset.interactions import Interactions
from tfrec.dataset.records import Arrays, read_part
from tfrec.schema import FIRST_OOV_ID, CategoricalFeature, NumericFeature, Schema, SequenceFeature, TextFeature


@dataclass(frozen=True)
class Catalogue:
    """All items, by item index.

    Attributes:
        ids: raw item ids. object (bytes) [num_items]
        features: encoded item features, [num_items] or [num_items, width].
        display: raw text features to show, object (bytes) [num_items].
        tokens: feature → its vocabulary in the order of the ids, from `first_token_id` on; of the encoded features that
            have one, but the id. object (bytes) [tokens]

    """

    ids: np.ndarray
    features: Arrays
    display: Arrays
    tokens: Arrays = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.ids)

    @classmethod
    def read(cls, dataset: DatasetDirectory) -> Catalogue:
        columns = read_part(dataset, "items")
        display = {name: columns.pop(RAW_PREFIX + name) for name in dataset.schema.display}
        ids = columns.pop(RAW_PREFIX + dataset.schema.item_id)
        return cls(ids, columns, display, _tokens(dataset, list(columns)))


def _tokens(dataset: DatasetDirectory, names: list[str]) -> Arrays:
    found: Arrays = {}
    for name in names:
        path = dataset.path / VOCABULARY / f"{name}.txt"
        if name != dataset.schema.item_id and path.exists():
            found[name] = _lines(path)
    return found


def _lines(path: Path) -> np.ndarray:
    return np.array(path.read_bytes().split(b"\n")[:-1], object)  # every line ends


class Vocabulary(NamedTuple):
    """Values of a feature in the order of their ids, from `first_token_id` on.

    Attributes:
        tokens: object (bytes) [tokens].
        counts: how often each occurs in training. int64 [tokens]

    """

    tokens: np.ndarray
    counts: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """How often each value occurs; one event is added to each, so that none is impossible. float32 [tokens]"""
        counts = self.counts + 1.0
        return (counts / counts.sum()).astype(np.float32)


def context_vocabularies(dataset: DatasetDirectory) -> dict[str, Vocabulary]:
    """Those of the features of role context that have one."""
    found = {}
    for name in dataset.schema.of_role("context"):
        tokens, counts = (dataset.path / VOCABULARY / f"{name}.{kind}" for kind in ("txt", "counts"))
        if tokens.exists():
            found[name] = Vocabulary(_lines(tokens), _lines(counts).astype(np.int64))
    return found


@dataclass(frozen=True)
class ModelInputs:
    """The data-dependent arguments of every model.

    Attributes:
        schema: of the dataset.
        num_ids: feature → number of ids with padding and out-of-vocabulary slots; categorical, bucketised, tokenised
            text and sequence features (these have the ids of what they consist of).
        catalogue: all items.
        train: training interactions.
        user_ids: raw user ids by user index, for a model that looks for users among the items (`reads_user_ids`); None
            for others. object (bytes) [num_users]
        context: vocabularies of the context features that have one.

    """

    schema: Schema
    num_ids: dict[str, int]
    catalogue: Catalogue
    train: Interactions
    user_ids: np.ndarray | None = None
    context: dict[str, Vocabulary] = field(default_factory=dict)

    @property
    def num_items(self) -> int:
        return self.catalogue.size

    @property
    def num_users(self) -> int:
        return self.train.num_users

    def encoded_user_ids(self) -> np.ndarray:
        """Encoded id of each user, by user index; of those behind the vocabulary (too rare, or not in training) the id
        of the unknown. int64 [num_users]
        """
        user_id = self.schema.features[self.schema.user_id]
        assert isinstance(user_id, CategoricalFeature)
        ids = user_id.first_token_id + np.arange(self.num_users, dtype=np.int64)
        return np.where(ids < self.num_ids[self.schema.user_id], ids, FIRST_OOV_ID)


def id_counts(dataset: DatasetDirectory) -> dict[str, int]:
    """Feature → number of ids, padding and out-of-vocabulary slots included."""
    counts: dict[str, int] = {}
    for name, feature in dataset.schema.encoded.items():
        if isinstance(feature, TextFeature):
            feature = feature.as_categorical
        if isinstance(feature, CategoricalFeature):
            if feature.hash_buckets is not None:
                counts[name] = 1 + feature.hash_buckets
            else:
                counts[name] = feature.first_token_id + dataset.vocabulary_size(name)
        elif isinstance(feature, NumericFeature) and feature.buckets is not None:
            counts[name] = 1 + feature.buckets
    for name, feature in dataset.schema.features.items():
        source = dataset.schema.sequence_source(name) if isinstance(feature, SequenceFeature) else None
        if source in counts:
            counts[name] = counts[source]
    return counts
