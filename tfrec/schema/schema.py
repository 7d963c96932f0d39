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
from tfrec.schema.feature import CategoricalFeature, Feature, FeatureRole, SequenceFeature, TextFeature
from tfrec.schema.split import Split, Temporal

# Names that every record has beside the features.
USER_INDEX = "user_index"  # int64, the row of users/
ITEM_INDEX = "item_index"  # int64, the row of items/
EVENT_POSITION = "event_position"  # int64, 0 for the user's first event in the log
EVENT_TIME_MS = "event_time_ms"  # int64, Unix time
LABEL = "label"  # float32
RESERVED_NAMES = frozenset({USER_INDEX, ITEM_INDEX, EVENT_POSITION, EVENT_TIME_MS, LABEL})
# Names that a signature of the exported model takes beside the features.
REQUEST_NAMES = frozenset({"k", "exclude_ids", "exclude_seen", "allow_ids", "candidate_ids", "examples"})


class Label(Config):
    """What is predicted: the value of `column`, or with `threshold` whether it is at least that (1 or 0)."""

    column: str
    threshold: float | None = None

    @property
    def is_binary(self) -> bool:
        return self.threshold is not None


class Timestamp(Config):
    """When an event happened. Without a timestamp the order of the files is the order of time."""

    column: str
    unit: Literal["s", "ms", "us"] = "s"

    @property
    def milliseconds(self) -> float:
        """Milliseconds in one unit."""
        return {"s": 1000.0, "ms": 1.0, "us": 0.001}[self.unit]


class Schema(Config):
    """Features, label, time and split of one dataset; frozen, saved as `schema.json`, known by its fingerprint."""

    format_version: Literal[1] = 1
    name: str
    features: dict[str, Feature]
    label: Label | None = None
    timestamp: Timestamp | None = None
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
        """Name of the first sequence feature, or None."""
        return next((n for n, f in self.features.items() if isinstance(f, SequenceFeature)), None)

    def of_role(self, *roles: FeatureRole) -> dict[str, Feature]:
        return {name: feature for name, feature in self.features.items() if feature.role in roles}

    @cached_property
    def encoded(self) -> dict[str, Feature]:
        """The features that models see: all but text, which is only shown."""
        return {name: f for name, f in self.features.items() if not isinstance(f, TextFeature)}

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
