"""The records of one ordered partition: encoded events with joins and histories, and each user as of the last event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.feature_transform import FeatureTransform
from tfrec.schema import (
    EVENT_COUNT,
    EVENT_POSITION,
    EVENT_TIME_MS,
    ITEM_INDEX,
    LABEL,
    USER_INDEX,
    NumericFeature,
    Schema,
    SequenceFeature,
    keeps_order,
)
from transforms.steps.encode import encode_table, index_of, join_rows, raw_name
from transforms.steps.history import Histories, histories_of, sequence_content
from transforms.steps.order import USER_START


@dataclass(frozen=True)
class Sides:
    """Users and items in the order of their index.

    Attributes:
        users: `raw/<user id>` and the encoded features of the users table.
        items: likewise.
        past: of users that a base dataset knows, by `raw/<user id>`: their sequences. None without a base.

    """

    users: pa.Table
    items: pa.Table
    past: pa.Table | None = None


class PartitionRecords:
    """Encodes a partition once; hands out its records a stretch at a time, since histories make them large."""

    def __init__(
        self, events: pa.Table, split: np.ndarray, schema: Schema, transform: FeatureTransform, sides: Sides
    ) -> None:
        """Encode the features of `events`, which are ordered and numbered; `split` is an index into `SPLITS`."""
        self._events = events
        self._schema = schema
        self._transform = transform
        self._sides = sides
        users, items = sides.users, sides.items
        self._user_index = index_of(
            events.column(schema.user_id), users.column(raw_name(schema.user_id)).combine_chunks()
        )
        self._item_index = index_of(
            events.column(schema.item_id), items.column(raw_name(schema.item_id)).combine_chunks()
        )
        self._own = encode_table(transform, schema, events)
        start = events.column(USER_START).to_numpy()
        self._last = np.flatnonzero(np.append(np.diff(start) != 0, True)) if len(start) else np.zeros(0, np.int64)
        self._histories = self._find_histories(split)
        # What serving looks up leaves nothing out, also where records may not see what others are tested on.
        self._latest = self._histories if keeps_order(schema.split) else self._find_histories(None)

    def stretch(self, start: int, length: int) -> pa.Table:
        """Records of the events from row `start` on: reserved columns and every encoded feature."""
        events = self._events.slice(start, length)
        rows = np.arange(start, start + events.num_rows)
        columns: dict[str, pa.Array] = {
            USER_INDEX: pa.array(self._user_index[rows]),
            ITEM_INDEX: pa.array(self._item_index[rows]),
        }
        for name in (EVENT_POSITION, EVENT_TIME_MS, LABEL, *self._schema.extra_fields):
            columns[name] = events.column(name)
        own = self._own.slice(start, length)
        columns |= {name: own.column(name) for name in own.column_names}
        for side, index in ((self._sides.users, self._user_index), (self._sides.items, self._item_index)):
            wanted = [n for n in side.column_names if n in self._schema.encoded and n not in columns]
            columns |= join_rows(side.select(wanted), index[rows])
        columns |= {name: history.before(rows) for name, history in self._histories.items()}
        return pa.table(columns)

    def latest_users(self) -> pa.Table:
        """One row per user: index, number and time of the last event, user features and histories after it."""
        last = pa.array(self._last)
        position = self._events.column(EVENT_POSITION).take(last).to_numpy()
        columns: dict[str, pa.Array] = {
            USER_INDEX: pa.array(self._user_index[self._last]),
            EVENT_COUNT: pa.array(position + 1),
            EVENT_TIME_MS: self._events.column(EVENT_TIME_MS).take(last),
        }
        for name, feature in self._schema.of_role("user").items():
            if name in self._latest:
                columns[name] = self._latest[name].up_to(self._last)
            elif isinstance(feature, NumericFeature) and feature.so_far is not None:
                count = pa.table({name: (position + 1).astype(np.float32)})
                columns[name] = encode_table(self._transform, self._schema, count).column(name)
            elif name in self._own.column_names:
                columns[name] = self._own.column(name).take(last)
            elif name in self._schema.encoded:
                index = self._user_index[self._last]
                columns[name] = join_rows(self._sides.users.select([name]), index)[name]
        return pa.table(columns)

    def _find_histories(self, split: np.ndarray | None) -> dict[str, Histories]:
        found = {}
        rows = last = None
        if self._sides.past is not None:
            known = self._sides.past.column(raw_name(self._schema.user_id)).combine_chunks()
            users = self._events.column(self._schema.user_id).take(pa.array(self._last)).cast(pa.string())
            rows = pc.index_in(users.combine_chunks(), value_set=known)
            last = self._sides.past.column(EVENT_TIME_MS).combine_chunks().take(rows)
        for name, feature in self._schema.features.items():
            if not isinstance(feature, SequenceFeature):
                continue
            source = self._schema.sequence_source(name)
            content = sequence_content(source, self._events, self._encoded(source), last)
            past = None
            if rows is not None and self._sides.past is not None:
                past = self._sides.past.column(name).combine_chunks().take(rows)
            found[name] = histories_of(name, self._events, content, self._schema, split, past)
        return found

    def _encoded(self, source: str) -> pa.Table:
        """Table that has the encoded values of a sequence's source for each event: the log's own, or its items'."""
        if source in self._own.column_names or source not in self._sides.items.column_names:
            return self._own
        return pa.table(join_rows(self._sides.items.select([source]), self._item_index))
