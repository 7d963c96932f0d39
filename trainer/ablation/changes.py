"""What an ablation takes away from the records of a dataset: columns become constant, or an order is drawn."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from tfrec.dataset.records import Arrays
from tfrec.errors import ConfigError, did_you_mean
from tfrec.schema import (
    EVENT_POSITION,
    EVENT_TIME_MS,
    GAP_SECONDS,
    SESSION_INDEX,
    USER_INDEX,
    Schema,
    SequenceFeature,
)

What = Literal["context", "time", "order"]
WHATS: tuple[What, ...] = get_args(What)
TIMES = (EVENT_TIME_MS, GAP_SECONDS)  # what a sequence may consist of that tells the time


@dataclass(frozen=True)
class Ablation:
    """Something that is taken away.

    Attributes:
        what: of it.
        columns: of the records that change, those that the model reads; sequences for `order`.

    """

    what: What
    columns: tuple[str, ...]


def ablations(schema: Schema, reads: Collection[str], tells_time: Collection[str]) -> dict[What, Ablation]:
    """What there is to take away from a model.

    context are the features of role context and sequences of them; time is the events' time, sequences of it, and the
    features `tells_time` with sequences of them; order is that of all sequences.

    Args:
        schema: of the dataset.
        reads: columns that the model learns from or answers by.
        tells_time: features besides that say when a request comes, such as the hour of the day.

    Raises:
        ConfigError: `tells_time` names no feature.

    """
    for name in tells_time:
        if name not in schema.features:
            raise ConfigError(f"--time {name}: the dataset has no such feature{did_you_mean(name, schema.features)}")
    found: dict[What, list[str]] = {what: [] for what in WHATS}
    for name in sorted(reads):
        source = _source(schema, name)
        if source in (*TIMES, *tells_time):
            found["time"].append(name)
        elif source in schema.features and schema.features[source].role == "context":
            found["context"].append(name)
        if name in schema.features and isinstance(schema.features[name], SequenceFeature) and source not in TIMES:
            found["order"].append(name)
    return {what: Ablation(what, tuple(names)) for what, names in found.items() if names}


def _source(schema: Schema, name: str) -> str:
    """What a column consists of: itself, or the feature (label, time) that a sequence holds."""
    is_sequence = isinstance(schema.features.get(name), SequenceFeature)
    return schema.sequence_source(name) if is_sequence else name


def without(records: Mapping[str, np.ndarray], ablation: Ablation, schema: Schema, seed: int) -> Arrays:
    """The records of a split with something taken away; rows stay where they are.

    Args:
        records: all columns.
        ablation: what.
        schema: of the dataset.
        seed: of the order.

    """
    if ablation.what != "order":
        return {name: np.zeros_like(v) if name in ablation.columns else v for name, v in records.items()}
    return {**records, **_shuffled_sequences(records, ablation.columns, schema, np.random.default_rng([seed, 0]))}


def in_drawn_order(records: Mapping[str, np.ndarray], schema: Schema, seed: int) -> Arrays:
    """Training records whose users took the same items in another order, at the times at which they took any.

    Events of a session stay in it where the history is that of a session.
    """
    random = np.random.default_rng([seed, 1])
    groups = [records[USER_INDEX]]
    history = None if schema.history is None else schema.features[schema.history]
    if isinstance(history, SequenceFeature) and history.within == "session":
        groups.insert(0, records[SESSION_INDEX])
    in_time = np.lexsort((records[EVENT_POSITION], *groups))
    drawn = np.lexsort((random.random(len(in_time)), *groups))
    changed: Arrays = {}
    for name in (EVENT_POSITION, EVENT_TIME_MS):
        values = records[name].copy()
        values[drawn] = records[name][in_time]
        changed[name] = values
    return {**records, **changed}


def _shuffled_sequences(
    records: Mapping[str, np.ndarray], names: Collection[str], schema: Schema, random: np.random.Generator
) -> Arrays:
    """Each row's steps in a drawn order; sequences that stand side by side go along, times stay where they are.

    What a place of padding is, items say: other sequences may have a true 0.
    """
    found: Arrays = {}
    for name in names:
        if name in found:
            continue
        together = [n for n in schema.side_by_side(name) if n in records and schema.sequence_source(n) not in TIMES]
        items = next((n for n in together if schema.sequence_source(n) == schema.item_id), name)
        is_there = records[items] != 0
        keys = np.where(is_there, random.random(is_there.shape), 2.0)  # padding stays at the end
        order = np.argsort(keys, axis=1, kind="stable")
        found |= {n: np.take_along_axis(records[n], order, axis=1) for n in together}
    return found
