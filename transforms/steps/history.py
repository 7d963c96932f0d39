"""What each event knows of its user's past: for every sequence of the schema the values of the events before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.schema import (
    EVENT_TIME_MS,
    GAP_SECONDS,
    LABEL,
    SESSION_POSITION,
    Schema,
    SequenceFeature,
    keeps_order,
)
from transforms.read.signals import LABEL_VALUE
from transforms.steps.encode import ID_TYPE
from transforms.steps.lists import list_array
from transforms.steps.order import USER_START
from transforms.steps.split import TRAIN


@dataclass(frozen=True)
class Histories:
    """One sequence feature over a partition.

    The values that may be seen stand in one array, user after user, oldest first; each row's history is a slice of it
    that ends before the row, so nothing at or after the event can be in it.

    Attributes:
        feature: the sequence.
        values: of the events that may be seen, each user's past of a base dataset in front. [visible]
        begins: first place in `values` that belongs to the row's user or session. int64 [rows]
        ends: place behind the last one before the row. int64 [rows]
        is_visible: whether the row itself may be seen by later ones. bool [rows]

    """

    feature: SequenceFeature
    values: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    is_visible: np.ndarray

    def before(self, rows: np.ndarray) -> pa.Array:
        """List [len(rows)]: the last `length` values before each row, oldest first."""
        return self._slices(rows, self.ends[rows])

    def up_to(self, rows: np.ndarray) -> pa.Array:
        """List [len(rows)]: the last `length` values up to and with each row: what comes before a user's next event."""
        return self._slices(rows, self.ends[rows] + self.is_visible[rows])

    def _slices(self, rows: np.ndarray, ends: np.ndarray) -> pa.Array:
        counts = np.minimum(ends - self.begins[rows], self.feature.length)
        stops = np.cumsum(counts)
        within = np.arange(stops[-1] if len(stops) else 0) - np.repeat(stops - counts, counts)
        return list_array(counts, self.values[np.repeat(ends - counts, counts) + within])


def histories_of(
    name: str,
    events: pa.Table,
    content: np.ndarray,
    schema: Schema,
    split: np.ndarray | None,
    past: pa.Array | None = None,
) -> Histories:
    """Prepare one sequence.

    Where a user's held-out events may lie before training ones (random and given splits), only training events are
    seen, by all: else training would read what it is tested on.

    Args:
        name: of the sequence feature.
        events: ordered and numbered.
        content: what the sequence shows of each event, from `sequence_content`. [rows]
        schema: of the dataset.
        split: of each event, an index into `SPLITS`; None where all events are seen. int8 [rows]
        past: for each user of `events` in order the values from a base dataset, oldest first. list [users]

    """
    feature = schema.features[name]
    assert isinstance(feature, SequenceFeature)
    is_visible = np.ones(events.num_rows, dtype=bool)
    if split is not None and not keeps_order(schema.split):
        is_visible = split == TRAIN
    if feature.labels == "positive":
        is_visible = is_visible & (events.column(LABEL).to_numpy() > 0)
    ends = np.cumsum(is_visible) - is_visible
    start = events.column(USER_START).to_numpy()
    first = start
    if feature.within == "session":
        first = np.arange(len(start)) - events.column(SESSION_POSITION).to_numpy()
    begins, values = ends[first], content[is_visible]
    if past is not None and feature.within == "user":
        begins, ends, values = _with_past(begins, ends, values, start, past)
    return Histories(feature, values, begins, ends, is_visible.astype(np.int64))


def sequence_type(schema: Schema, name: str) -> pa.DataType:
    """Arrow type of the values of a sequence."""
    special = {EVENT_TIME_MS: pa.int64(), LABEL: pa.float32(), GAP_SECONDS: pa.float32()}
    return special.get(schema.sequence_source(name), pa.from_numpy_dtype(ID_TYPE))


def sequence_content(source: str, events: pa.Table, encoded: pa.Table, last: pa.Array | None = None) -> np.ndarray:
    """What a sequence shows of each event.

    Args:
        source: from `Schema.sequence_source`.
        events: ordered and numbered.
        encoded: their encoded features.
        last: for each user of `events` in order the time in ms of the last event in a base dataset. int64 [users]

    Returns:
        Ids, float32 label values or gaps, or int64 times. [rows]

    """
    if source == EVENT_TIME_MS:
        return events.column(EVENT_TIME_MS).to_numpy()
    if source == LABEL:
        return events.column(LABEL_VALUE).to_numpy()
    if source == GAP_SECONDS:
        time, start = events.column(EVENT_TIME_MS).to_numpy(), events.column(USER_START).to_numpy()
        before = np.concatenate([time[:1], time[:-1]])
        is_first = start == np.arange(len(start))
        before[is_first] = time[is_first] if last is None else pc.coalesce(last, pa.array(time[is_first])).to_numpy()
        return ((time - before) / 1000.0).astype(np.float32)
    return encoded.column(source).to_numpy()


def _with_past(
    begins: np.ndarray, ends: np.ndarray, values: np.ndarray, start: np.ndarray, past: pa.Array
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put each user's past in front of the user's own values."""
    lengths = past.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    is_first = start == np.arange(len(start))
    user = np.cumsum(is_first) - 1
    before = np.cumsum(lengths) - lengths  # values put in front of each user's past
    own = begins[is_first]  # where each user's own values began
    joined = np.insert(values, np.repeat(own, lengths), past.flatten().to_numpy().astype(values.dtype))
    return begins + before[user], ends + (before + lengths)[user], joined
