"""What goes to users/ and items/ beside the users of this log: users without an event in it, and the catalogue."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.schema import EVENT_COUNT, EVENT_TIME_MS, USER_INDEX, Feature, NumericFeature, SequenceFeature
from transforms import layout, storage
from transforms.base.users import all_base_users
from transforms.encode_plan import EncodePlan, portions_of
from transforms.exchange import Portions
from transforms.steps.counts import VALUE
from transforms.steps.encode import ID_TYPE, raw_name
from transforms.steps.history import sequence_type


def without_events(plan: EncodePlan) -> Iterator[Portions]:
    """Users without an event in this run, with the past they have from elsewhere; and the items."""
    users = storage.read_table(layout.encoded_side(plan.output, "users"))
    # Users of the log come first in the order of their index, those of the table alone behind them.
    seen = storage.read_table(layout.counts(plan.output, plan.schema.user_id)).column(VALUE).combine_chunks()
    ids = users.column(raw_name(plan.schema.user_id)).combine_chunks()
    rest = np.flatnonzero(~pc.is_in(ids, value_set=seen).to_numpy(zero_copy_only=False))
    if len(rest):
        rows = idle_users(users.take(pa.array(rest)), rest, plan)
        yield portions_of("users", rows, rest, rest * plan.shards["users"] // max(plan.users, 1))
    items = storage.read_table(layout.encoded_side(plan.output, "items"))
    index = np.arange(items.num_rows)
    yield portions_of("items", items, index, index * plan.shards["items"] // max(items.num_rows, 1))


def idle_users(users: pa.Table, index: np.ndarray, plan: EncodePlan) -> pa.Table:
    """Records of users without an event in this run."""
    past = all_base_users(plan.output) if plan.has_base else None
    rows = None
    if past is not None:
        name = raw_name(plan.schema.user_id)
        rows = pc.index_in(users.column(name).combine_chunks(), value_set=past.column(name).combine_chunks())
    columns: dict[str, pa.Array] = {USER_INDEX: pa.array(index.astype(ID_TYPE))}
    for field in (EVENT_COUNT, EVENT_TIME_MS):
        columns[field] = pa.array(np.zeros(len(index), np.int64))
        if past is not None:
            columns[field] = pc.fill_null(past.column(field).combine_chunks().take(rows), 0)
    for name, feature in plan.schema.of_role("user").items():
        if isinstance(feature, SequenceFeature):
            columns[name] = pa.array([[]] * len(index), pa.list_(sequence_type(plan.schema, name)))
            if past is not None:
                columns[name] = past.column(name).combine_chunks().take(rows)
        elif name in users.column_names and name in plan.schema.encoded:
            columns[name] = users.column(name)
            if past is not None and raw_name(name) not in users.column_names and not _is_count(feature):
                # What stood in the events alone is known as it was encoded then.
                known = past.column(name).combine_chunks().take(rows)
                now = users.column(name).combine_chunks()
                columns[name] = pc.if_else(known.is_valid(), known.cast(now.type), now)
    return pa.table(columns)


def _is_count(feature: Feature) -> bool:
    return isinstance(feature, NumericFeature) and feature.so_far is not None
