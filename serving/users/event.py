"""Something that a user just did, and what it adds to the user's sequences."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import Any

from serving.users.record import UserRecord
from tfrec.errors import SchemaError
from tfrec.schema import EVENT_TIME_MS, GAP_SECONDS, LABEL, Label, Schema, SequenceFeature


@dataclasses.dataclass(frozen=True)
class Event:
    """The user took `item`.

    `label` is what the log's label column would say, where the dataset has a label; `values` are further features of
    the event that sequences consist of, such as the device.
    """

    item: str
    time_ms: int = dataclasses.field(default_factory=lambda: time.time_ns() // 1_000_000)
    label: float | str | None = None
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)


def sequences_of(schema: Schema) -> dict[str, SequenceFeature]:
    """The sequences of a schema, by name."""
    return {name: f for name, f in schema.features.items() if isinstance(f, SequenceFeature)}


def with_event(record: UserRecord, event: Event, schema: Schema) -> UserRecord:
    """Return the record as it is after the event: each sequence longer by it, by the rules of the transforms.

    Events are taken in the order in which they come. Raises SchemaError where the event lacks what a sequence needs.
    """
    gap_seconds = 0.0
    if record.last_event_ms is not None:
        gap_seconds = max(0.0, (event.time_ms - record.last_event_ms) / 1000)
    past = current_sequences(record, schema, event.time_ms)
    sequences = {}
    for name, feature in sequences_of(schema).items():
        values = list(past.get(name, []))
        if feature.labels == "all" or _is_positive(event.label, schema.label):
            values.append(_content(schema.sequence_source(name), event, gap_seconds, schema))
        sequences[name] = values[-feature.length :]
    last_event_ms = max(event.time_ms, record.last_event_ms or 0)
    return UserRecord(record.features, sequences, last_event_ms)


def current_sequences(record: UserRecord, schema: Schema, now_ms: int) -> dict[str, list[Any]]:
    """The record's sequences, those of a session without what is of an earlier one."""
    if schema.sessions is None or record.last_event_ms is None:
        return record.sequences
    if now_ms - record.last_event_ms <= schema.sessions.gap_minutes * 60_000:
        return record.sequences
    of_session = {name for name, feature in sequences_of(schema).items() if feature.within == "session"}
    return {name: [] if name in of_session else values for name, values in record.sequences.items()}


def _content(source: str, event: Event, gap_seconds: float, schema: Schema) -> Any:
    if source == schema.item_id:
        return event.item
    if source == EVENT_TIME_MS:
        return event.time_ms
    if source == GAP_SECONDS:
        return gap_seconds
    if source == LABEL:
        return _number(event.label)
    if source not in event.values:
        raise SchemaError(f"the event has no {source!r}, of which a history consists; give it in Event(values=…)")
    return event.values[source]


def _number(label: float | str | None) -> float:
    try:
        return math.nan if label is None else float(label)
    except ValueError:
        raise SchemaError(f"the event's label is {label!r}; a history of labels needs numbers") from None


def _is_positive(value: float | str | None, label: Label | None) -> bool:
    """Whether the transforms would give an event with this label one above 0."""
    if label is None:
        return True
    if value is None:
        return False
    if label.values is not None:
        return str(value) in label.values
    return _number(value) >= label.threshold if label.threshold is not None else _number(value) > 0
