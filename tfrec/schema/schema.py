"""The schema: the only description of a dataset's features, from the log to the request."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tfrec.config_file import Config
from tfrec.errors import ArtifactError, SchemaError
from tfrec.schema.cross import Cross
from tfrec.schema.feature import (
    CategoricalFeature,
    Feature,
    FeatureRole,
    SequenceFeature,
    TextFeature,
    WeightsFeature,
)
from tfrec.schema.names import LABEL, PROPENSITY, REQUEST_ID, SESSION_INDEX, SESSION_POSITION, WEIGHT
from tfrec.schema.references import check_names, check_references
from tfrec.schema.signal import Kept, Label, Weight
from tfrec.schema.split import Given, Split, Temporal
from tfrec.schema.time import Sessions, Timestamp

# What older schemas do not say; left out of the fingerprint where it is not used, so that theirs still holds.
_ADDED_LATER = ("crosses", "targets", "kept_negatives")


class Schema(Config):
    """Features, label, time and split of one dataset; frozen, saved as `schema.json`, known by its fingerprint."""

    format_version: Literal[2] = 2
    name: str
    features: dict[str, Feature]
    label: Label | None = None
    weight: Weight | None = None
    propensity: Kept | None = None
    request: Kept | None = None
    timestamp: Timestamp | None = None
    sessions: Sessions | None = None
    split: Split = Field(default_factory=Temporal)
    crosses: dict[str, Cross] = Field({}, description="combinations of features that models may give ids of their own")
    targets: dict[str, Label] = Field({}, description="further labels of an event, each a float32 field; NaN: missing")
    kept_negatives: float | None = Field(
        None, gt=0, le=1, description="share of the training events with label 0 that the records hold"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Schema:
        check_names(self)
        for role in ("user", "item"):
            ids = [name for name, feature in self._categorical(role) if feature.id]
            if len(ids) != 1:
                raise ValueError(f"features: exactly one feature of role {role} needs 'id: true', got {ids or 'none'}")
        if self.timestamp is None and isinstance(self.split, Temporal):
            raise ValueError("split: strategy 'temporal' needs a 'timestamp'; add it or split another way")
        if self.sessions is not None and self.timestamp is None:
            raise ValueError("sessions need a 'timestamp'; add it or drop 'sessions'")
        check_references(self)
        for name, feature in self.features.items():
            if isinstance(feature, WeightsFeature):  # as wide as the ids; who handles it alone need not look them up
                weighed = self.features[feature.of]
                assert isinstance(weighed, CategoricalFeature)
                self.features[name] = feature.model_copy(update={"max_values": weighed.max_values})
        return self

    def _categorical(self, role: str) -> list[tuple[str, CategoricalFeature]]:
        return [(n, f) for n, f in self.features.items() if isinstance(f, CategoricalFeature) and f.role == role]

    @cached_property
    def user_id(self) -> str:
        """Name of the feature that identifies a user."""
        return next(name for name, feature in self._categorical("user") if feature.id)

    @cached_property
    def item_id(self) -> str:
        """Name of the feature that identifies an item."""
        return next(name for name, feature in self._categorical("item") if feature.id)

    @cached_property
    def item_id_feature(self) -> CategoricalFeature:
        feature = self.features[self.item_id]
        assert isinstance(feature, CategoricalFeature)
        return feature

    @cached_property
    def history(self) -> str | None:
        """Name of the first sequence of items, or None."""
        sequences = {n: f for n, f in self.features.items() if isinstance(f, SequenceFeature)}
        return next((n for n in sequences if self.sequence_source(n) == self.item_id), None)

    def sequence_source(self, name: str) -> str:
        """What a sequence consists of: a categorical feature, or `label`, `event_time_ms` or `gap_seconds`."""
        feature = self.features[name]
        assert isinstance(feature, SequenceFeature)
        return feature.of or self.item_id

    def is_label_sequence(self, name: str) -> bool:
        """Whether a feature is a sequence of labels, before any threshold."""
        return isinstance(self.features[name], SequenceFeature) and self.sequence_source(name) == LABEL

    def side_by_side(self, name: str) -> tuple[str, ...]:
        """Sequences whose place i is the same event as that of the sequence `name`, itself among them.

        Of a feature of another kind its name alone.
        """

        def events(feature: Feature) -> tuple[object, ...] | None:
            if not isinstance(feature, SequenceFeature):
                return None
            return feature.length, feature.within, feature.labels

        mine = events(self.features[name])
        return tuple(n for n, f in self.features.items() if n == name or (mine and events(f) == mine))

    @cached_property
    def extra_fields(self) -> dict[str, Literal["int64", "float32", "bytes"]]:
        """Fields of an event record that it has because the schema asks for them, and their types."""
        fields: dict[str, Literal["int64", "float32", "bytes"]] = {}
        if self.weight is not None:
            fields[WEIGHT] = "float32"
        if self.propensity is not None:
            fields[PROPENSITY] = "float32"
        if self.request is not None:
            fields[REQUEST_ID] = "bytes"
        if self.sessions is not None:
            fields |= {SESSION_INDEX: "int64", SESSION_POSITION: "int64"}
        for name in self.targets:
            fields[name] = "float32"
        return fields

    def weights_of(self, name: str) -> str | None:
        """Name of the feature that weighs the values of the multi-valued feature `name`; None without one."""
        found = (n for n, f in self.features.items() if isinstance(f, WeightsFeature) and f.of == name)
        return next(found, None)

    def of_role(self, *roles: FeatureRole) -> dict[str, Feature]:
        return {name: feature for name, feature in self.features.items() if feature.role in roles}

    @cached_property
    def encoded(self) -> dict[str, Feature]:
        """The features that models see: all but text without tokens, which is only shown."""
        return {n: f for n, f in self.features.items() if not isinstance(f, TextFeature) or f.tokens is not None}

    @cached_property
    def display(self) -> dict[str, TextFeature]:
        """Text features of items: shown beside recommendations."""
        return {n: f for n, f in self.features.items() if isinstance(f, TextFeature) and f.role == "item"}

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over all that decides what an encoded value means; the dataset's name does not."""
        content = self.model_dump(mode="json", exclude={"name"})
        content = {key: value for key, value in content.items() if value or key not in _ADDED_LATER}
        if isinstance(self.split, Given) and not self.split.validation:  # as older schemas wrote it
            content["split"] = {"strategy": self.split.strategy}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def save(self, path: str | Path) -> None:
        content = {"fingerprint": self.fingerprint, "schema": self.model_dump(mode="json")}
        Path(path).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Schema:
        """Read `schema.json`.

        Raises:
            ArtifactError: the file is absent.
            SchemaError: it is not a schema of this version, or was edited by hand.

        """
        path = Path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            schema = cls.model_validate(content["schema"])
            written = content["fingerprint"]
        except OSError as error:
            raise ArtifactError(f"{path}: cannot be read ({error.strerror}); is this a dataset?") from None
        except (ValueError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise SchemaError(f"{path}: not a schema of this version ({reason}); run the transforms again") from None
        if written != schema.fingerprint:
            raise SchemaError(f"{path}: was changed after it was written; run the transforms again")
        return schema
