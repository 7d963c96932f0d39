"""What parts of a schema take from other parts must be there, and names must not clash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tfrec.schema.cross import Cross
from tfrec.schema.feature import (
    CategoricalFeature,
    Feature,
    NumericFeature,
    SequenceFeature,
    TextFeature,
    WeightsFeature,
)
from tfrec.schema.names import ANSWER_NAMES, EVENT_TIME_MS, GAP_SECONDS, LABEL, REQUEST_NAMES, RESERVED_NAMES

if TYPE_CHECKING:
    from tfrec.schema.schema import Schema


def check_names(schema: Schema) -> None:
    """Features, crosses and targets become names of tensors and columns.

    Raises:
        ValueError: a name is not one, is reserved, or stands for two things.

    """
    kinds: tuple[tuple[str, Mapping[str, object]], ...] = (
        ("feature", schema.features),
        ("cross", schema.crosses),
        ("target", schema.targets),
    )
    known: dict[str, str] = {}
    for kind, named in kinds:
        for name in named:
            if not name.isidentifier():  # it becomes the name of a tensor in requests
                raise ValueError(f"{kind} {name!r}: use letters, digits and underscores, not a digit first")
            if name in RESERVED_NAMES | REQUEST_NAMES or (kind == "target" and name in ANSWER_NAMES):
                raise ValueError(f"{kind} {name!r}: this name is reserved; choose another")
            if name in known:
                raise ValueError(f"{kind} {name!r}: a {known[name]} has this name; choose another")
            known[name] = kind


def check_references(schema: Schema) -> None:
    """What features and crosses take from elsewhere in the schema must be there.

    Raises:
        ValueError: it is not, or is of another kind.

    """
    for name, feature in schema.features.items():
        if isinstance(feature, NumericFeature) and feature.so_far == "item_events" and schema.timestamp is None:
            raise ValueError(f"feature {name!r}: 'so_far: item_events' needs a 'timestamp'")
        if isinstance(feature, SequenceFeature):
            _check_sequence(schema, name, feature)
        if isinstance(feature, WeightsFeature):
            _check_weights(schema, name, feature)
    for name, cross in schema.crosses.items():
        _check_cross(schema, name, cross)
    if schema.kept_negatives is not None and (schema.label is None or not schema.label.is_binary):
        problem = "a label that is a value has no" if schema.label else "without a 'label' there are no"
        raise ValueError(
            f"keep_negatives: {problem} negatives; give 'label' a 'threshold' or 'values', or drop 'keep_negatives'"
        )


def _check_sequence(schema: Schema, name: str, feature: SequenceFeature) -> None:
    if feature.within == "session" and schema.sessions is None:
        raise ValueError(f"feature {name!r}: 'within: session' needs 'sessions: {{gap_minutes: …}}'")
    if feature.labels == "positive" and schema.label is None:
        raise ValueError(f"feature {name!r}: 'labels: positive' needs a 'label'")
    of = feature.of
    if of is None or of in (EVENT_TIME_MS, GAP_SECONDS):
        if of is not None and schema.timestamp is None:
            raise ValueError(f"feature {name!r}: 'of: {of}' needs a 'timestamp'")
        return
    if of == LABEL:
        if schema.label is None:
            raise ValueError(f"feature {name!r}: 'of: label' needs a 'label'")
        return
    source = schema.features.get(of)
    if not isinstance(source, CategoricalFeature) or source.multivalued or source.role == "user":
        raise ValueError(
            f"feature {name!r}: 'of: {of}' is not a single-valued categorical feature of role item or context; "
            f"name one, or {LABEL}, {EVENT_TIME_MS} or {GAP_SECONDS}"
        )


def _check_weights(schema: Schema, name: str, feature: WeightsFeature) -> None:
    weighed = schema.features.get(feature.of)
    if not isinstance(weighed, CategoricalFeature) or not weighed.multivalued or weighed.flags is not None:
        raise ValueError(
            f"feature {name!r}: 'of: {feature.of}' is not a categorical feature with 'separator' or 'list: true'; "
            "name the feature whose values have these weights"
        )
    if feature.role != weighed.role:
        raise ValueError(f"feature {name!r}: has role {feature.role}, {feature.of!r} has {weighed.role}; use the same")
    if feature.max_values not in (None, weighed.max_values):
        raise ValueError(
            f"feature {name!r}: max_values is {feature.max_values}, that of {feature.of!r} {weighed.max_values}; "
            "drop it here"
        )
    others = [n for n, f in schema.features.items() if isinstance(f, WeightsFeature) and f.of == feature.of]
    if others != [name]:
        raise ValueError(f"features {others}: all are weights of {feature.of!r}; keep one")


def _check_cross(schema: Schema, name: str, cross: Cross) -> None:
    several = []
    for part in cross.of:
        feature = schema.features.get(part)
        if feature is None or not _has_ids(schema, part, feature):
            problem = "is not a feature" if feature is None else "has no ids"
            raise ValueError(
                f"cross {name!r}: {part!r} {problem}; cross categorical features, numbers with 'buckets', texts with "
                "'tokens' or sequences of such"
            )
        if isinstance(feature, TextFeature | SequenceFeature) or getattr(feature, "multivalued", False):
            several.append(part)
    if len(several) > 1:
        raise ValueError(f"cross {name!r}: {several} have several values each; one of a cross may")


def _has_ids(schema: Schema, name: str, feature: Feature) -> bool:
    if isinstance(feature, SequenceFeature):
        return schema.sequence_source(name) not in (LABEL, EVENT_TIME_MS, GAP_SECONDS)
    if isinstance(feature, NumericFeature):
        return feature.buckets is not None
    return isinstance(feature, CategoricalFeature) or (isinstance(feature, TextFeature) and feature.tokens is not None)
