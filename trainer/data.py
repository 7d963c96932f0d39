"""What a job reads from its dataset, each part once."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property

import numpy as np

from tfrec.dataset.directory import RAW_PREFIX, VOCABULARY, DatasetDirectory
from tfrec.dataset.interactions import Interactions
from tfrec.dataset.records import Arrays, read_part
from tfrec.errors import ArtifactError, DataError
from tfrec.models.inputs import Catalogue, ModelInputs, context_vocabularies, id_counts
from tfrec.schema import EVENT_POSITION, EVENT_TIME_MS, ITEM_INDEX, LABEL, USER_INDEX, WEIGHT
from trainer.checks.values import require_values


class JobData:
    """The splits of a dataset in memory, and what models are built from."""

    def __init__(self, dataset: DatasetDirectory) -> None:
        self.dataset = dataset
        self.schema = dataset.schema

    @cached_property
    def train(self) -> Arrays:
        return self._split("train")

    @cached_property
    def validation(self) -> Arrays:
        return self._split("validation")

    @cached_property
    def test(self) -> Arrays:
        return self._split("test")

    def split(self, name: str) -> Arrays:
        records: Arrays = getattr(self, name)
        return records

    @cached_property
    def catalogue(self) -> Catalogue:
        return Catalogue.read(self.dataset)

    def columns(self, split: str, names: Collection[str]) -> Arrays:
        """Some columns of a split; the others are not read."""
        if split in self.__dict__:
            return {name: self.split(split)[name] for name in names}
        return self._read(split, names)

    def interactions(self, *splits: str) -> Interactions:
        """Events of the splits together, by user, with what the schema says of each."""
        schema = self.schema
        names = [USER_INDEX, ITEM_INDEX, EVENT_POSITION]
        names += [LABEL] * (schema.label is not None) + [EVENT_TIME_MS] * (schema.timestamp is not None)
        names += [WEIGHT] * (schema.weight is not None)
        parts = [self.columns(name, names) for name in splits]
        together = {name: np.concatenate([part[name] for part in parts]) for name in names}
        return Interactions.from_records(together, self.dataset.rows("users"), self.catalogue.size)

    @cached_property
    def model_inputs(self) -> ModelInputs:
        context = context_vocabularies(self.dataset)
        return ModelInputs(
            self.schema, id_counts(self.dataset), self.catalogue, self.interactions("train"), context=context
        )

    @cached_property
    def user_ids(self) -> np.ndarray:
        """Raw user ids by user index. object (bytes) [num_users]"""
        raw_id = RAW_PREFIX + self.schema.user_id
        return read_part(self.dataset, "users", [raw_id])[raw_id]

    def _split(self, name: str) -> Arrays:
        return self._read(name, None)

    def _read(self, name: str, columns: Collection[str] | None) -> Arrays:
        records = read_part(self.dataset, name, columns)
        if name == "train" and self.dataset.rows("train") == 0:
            raise DataError(f"{self.dataset.path}: the training split is empty; lower the shares of the other splits")
        require_values(self.dataset, name, records)
        return records


def require_same_ids(trained: DatasetDirectory, other: DatasetDirectory) -> None:
    """Refuse a dataset in which an id, or the place of an item, means something else than where a model was trained.

    Raises:
        ArtifactError: features, vocabularies or items differ.

    """
    for what, is_same in (
        ("features", trained.schema.features == other.schema.features),
        ("vocabularies", _vocabularies(trained) == _vocabularies(other)),
        ("items", np.array_equal(Catalogue.read(trained).ids, Catalogue.read(other).ids)),
    ):
        if not is_same:
            raise ArtifactError(
                f"{other.path}: has other {what} than {trained.path}, where the model was trained; train on it instead"
            )


def _vocabularies(dataset: DatasetDirectory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (dataset.path / VOCABULARY).glob("*.txt")}
