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
from tfrec.schema.feature import (
    CategoricalFeature,
    Feature,
    FeatureRole,
    NumericFeature,
    SequenceFeature,
    TextFeature,
)
from tfrec.schema.signal import Kept, Label, Weight
from tfrec.schema.split import Split, Temporal
from tfrec.schema.time import Sessions, Timestamp

# Names that every record has beside the features.
USER_INDEX = "user_index"  # int64, the row of users/
ITEM_INDEX = "item_index"  # int64, the row of items/
EVENT_POSITION = "event_position"  # int64, 0 for the user's first event in the log
EVENT_TIME_MS = "event_time_ms"  # int64, Unix time
LABEL = "label"  # float32
# And those that it has where the schema asks for them.
WEIGHT = "weight"  # float32
PROPENSITY = "propensity"  # float32, the probability with which the event's item was shown
REQUEST_ID = "request_id"  # bytes, of the impression or session as the log has it
SESSION_INDEX = "session_index"  # int64, 0 for the user's first session
SESSION_POSITION = "session_position"  # int64, 0 for the first event of its session
GAP_SECONDS = "gap_seconds"  # float32, since the user's event before; the name of a sequence's content
EVENT_COUNT = "event_count"  # int64, in users/ and items/: events in the log, earlier runs included
RESERVED_NAMES = frozenset(
    {
        *(USER_INDEX, ITEM_INDEX, EVENT_POSITION, EVENT_TIME_MS, LABEL, WEIGHT, PROPENSITY, REQUEST_ID),
        *(SESSION_INDEX, SESSION_POSITION, GAP_SECONDS, EVENT_COUNT),
    }
)
# Names that a signature of the exported model takes beside the features.
REQUEST_NAMES = frozenset({"k", "exclude_ids", "exclude_seen", "allow_ids", "candidate_ids", "examples"})


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

    @model_validator(mode="after")
    def _consistent(self) -> Schema:
        for name in self.features:
            if not name.isidentifier():  # it becomes the name of a tensor in requests
                raise ValueError(f"feature {name!r}: use letters, digits and underscores, not a digit first")
            if name in RESERVED_NAMES | REQUEST_NAMES:
                raise ValueError(f"feature {name!r}: this name is reserved; choose another")
        for role in ("user", "item"):
            ids = [name for name, feature in self._categorical(role) if feature.id]
            if len(ids) != 1:
                raise ValueError(f"features: exactly one feature of role {role} needs 'id: true', got {ids or 'none'}")
        if self.timestamp is None and isinstance(self.split, Temporal):
            raise ValueError("split: strategy 'temporal' needs a 'timestamp'; add it or split another way")
        if self.sessions is not None and self.timestamp is None:
            raise ValueError("sessions need a 'timestamp'; add it or drop 'sessions'")
        for name, feature in self.features.items():
            self._check_needs(name, feature)
        return self

    def _check_needs(self, name: str, feature: Feature) -> None:
        """What a feature takes from elsewhere in the schema must be there."""
        if isinstance(feature, NumericFeature) and feature.so_far == "item_events" and self.timestamp is None:
            raise ValueError(f"feature {name!r}: 'so_far: item_events' needs a 'timestamp'")
        if not isinstance(feature, SequenceFeature):
            return
        if feature.within == "session" and self.sessions is None:
            raise ValueError(f"feature {name!r}: 'within: session' needs 'sessions: {{gap_minutes: …}}'")
        if feature.labels == "positive" and self.label is None:
            raise ValueError(f"feature {name!r}: 'labels: positive' needs a 'label'")
        of = feature.of
        if of is None or of in (EVENT_TIME_MS, GAP_SECONDS):
            if of is not None and self.timestamp is None:
                raise ValueError(f"feature {name!r}: 'of: {of}' needs a 'timestamp'")
            return
        if of == LABEL:
            if self.label is None:
                raise ValueError(f"feature {name!r}: 'of: label' needs a 'label'")
            return
        source = self.features.get(of)
        if not isinstance(source, CategoricalFeature) or source.multivalued or source.role == "user":
            raise ValueError(
                f"feature {name!r}: 'of: {of}' is not a single-valued categorical feature of role item or context; "
                f"name one, or {LABEL}, {EVENT_TIME_MS} or {GAP_SECONDS}"
            )

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
        return fields

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
