"""A finished dataset, as a run needs that adds to it: what ids mean, and what is known of users and items."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from tfrec.dataset import directory
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import encoded_dtype, list_width, record_dataset
from tfrec.errors import ArtifactError, ConfigError
from tfrec.feature_transform import NumericAnalysis, is_list
from tfrec.schema import (
    EVENT_COUNT,
    EVENT_TIME_MS,
    SPLITS,
    Feature,
    FeatureRole,
    NumericFeature,
    Schema,
    SequenceFeature,
    VectorFeature,
    WeightsFeature,
)
from transforms.steps.encode import raw_name
from transforms.steps.history import sequence_type

_BATCH = 8192


@dataclass(frozen=True)
class BaseDataset:
    """What a run with `--base` goes on from.

    Attributes:
        name: directory, for messages and the manifest.
        fingerprint: of the base.
        last_time_ms: of its last event; events up to here are in it already.
        vocabularies: feature → tokens in the order of their ids.
        numeric: feature → moments and boundaries, which stay as they are.
        users: raw id, `event_count`, `event_time_ms`, encoded features and sequences.
        sides: users and items → raw id, raw features and `event_count`.

    """

    name: str
    fingerprint: str
    last_time_ms: int
    vocabularies: dict[str, pa.Array]
    numeric: dict[str, NumericAnalysis]
    users: pa.Table
    sides: dict[str, pa.Table]

    def item_counts(self, item_id: str) -> dict[str, int]:
        """Item → its events."""
        items = self.sides["items"]
        return dict(zip(items.column(item_id).to_pylist(), items.column(EVENT_COUNT).to_pylist(), strict=True))


def load_base(path: str, schema: Schema) -> BaseDataset:
    """Read a dataset directory on this machine.

    Raises:
        ArtifactError: there is no dataset, or one without what later runs need.
        ConfigError: it has other features, another label or no timestamp.

    """
    dataset = DatasetDirectory(path)
    _check_schema(path, dataset.schema, schema)
    features = dataset.statistics["features"]
    numeric = {}
    for name, feature in schema.features.items():
        if isinstance(feature, NumericFeature):
            if "encoding" not in features[name]:
                raise ArtifactError(f"--base {path}: was written by an older version; run the transforms again")
            numeric[name] = NumericAnalysis.model_validate(features[name]["encoding"])
    last = [dataset.statistics["splits"][split].get("last_time_ms") for split in SPLITS]
    key, history = raw_name(schema.user_id), [n for n, f in schema.features.items() if isinstance(f, SequenceFeature)]
    fields = {**_raw_fields(schema, "user"), EVENT_COUNT: _INT, EVENT_TIME_MS: _INT}
    encoded = {name: _encoded_field(f) for name, f in schema.of_role("user").items() if name in schema.encoded}
    users = read_fields(dataset, "users", fields | encoded)
    for name in history:
        column = users.column(name).cast(pa.list_(sequence_type(schema, name)))
        users = users.set_column(users.column_names.index(name), name, column)
    items = read_fields(dataset, "items", {**_raw_fields(schema, "item"), EVENT_COUNT: _INT})
    return BaseDataset(
        path,
        dataset.fingerprint,
        max(time for time in last if time is not None),
        {path.stem: _vocabulary(path) for path in sorted((Path(dataset.path) / directory.VOCABULARY).glob("*.txt"))},
        numeric,
        users.select([key, EVENT_COUNT, EVENT_TIME_MS, *encoded]),
        {
            "users": _raw_columns(users.drop_columns([EVENT_TIME_MS, *encoded])),
            "items": _raw_columns(items),
        },
    )


@dataclass(frozen=True)
class Field:
    """How a field of users/ or items/ is read."""

    dtype: tf.DType
    is_list: bool = False


_INT = Field(tf.int64)


def read_fields(dataset: DatasetDirectory, part: str, fields: dict[str, Field]) -> pa.Table:
    """Columns of users/ or items/; a field that no record has is left out, in one that some have it is null."""
    parsing = {name: tf.io.RaggedFeature(field.dtype, row_splits_dtype=tf.int64) for name, field in fields.items()}
    batches = (
        record_dataset(dataset.files(part)).batch(_BATCH).map(lambda records: tf.io.parse_example(records, parsing))
    )
    tables = [pa.table({name: _column(batch[name], field) for name, field in fields.items()}) for batch in batches]
    whole = pa.concat_tables(tables).combine_chunks()
    there = [name for name in fields if fields[name].is_list or whole.column(name).null_count < whole.num_rows]
    return whole.select(there)


def _column(values: tf.RaggedTensor, field: Field) -> pa.Array:
    flat = values.flat_values.numpy()
    array = pa.array(flat, pa.string()) if field.dtype == tf.string else pa.array(flat)
    lists = pa.ListArray.from_arrays(pa.array(values.row_splits.numpy().astype(np.int32)), array)
    if field.is_list:
        return lists
    lengths = np.diff(values.row_splits.numpy())
    rows = np.where(lengths > 0, values.row_splits.numpy()[:-1], -1)
    return array.take(pa.array(rows, mask=rows < 0))


def _raw_fields(schema: Schema, role: FeatureRole) -> dict[str, Field]:
    fields = {}
    for name, feature in schema.of_role(role).items():
        if isinstance(feature, SequenceFeature):
            continue
        is_number = isinstance(feature, NumericFeature | VectorFeature | WeightsFeature)
        fields[raw_name(name)] = Field(tf.float32 if is_number else tf.string, is_list(feature))
    return fields


def _encoded_field(feature: Feature) -> Field:
    return Field(encoded_dtype(feature), is_list=list_width(feature) is not None)


def _raw_columns(table: pa.Table) -> pa.Table:
    """Under the features' own names; lists that are empty everywhere are columns that the log did not have."""
    there = [
        name
        for name in table.column_names
        if not pa.types.is_list(table.column(name).type) or len(pc.list_flatten(table.column(name)))
    ]
    return table.select(there).rename_columns([name.removeprefix(directory.RAW_PREFIX) for name in there])


def _vocabulary(path: Path) -> pa.Array:
    return pa.array(path.read_bytes().decode().split("\n")[:-1], pa.string())  # a token may hold other ends of line


def _check_schema(path: str, base: Schema, schema: Schema) -> None:
    """Ids and histories go on only where everything means the same; how events are split may differ."""
    if schema.timestamp is None:
        raise ConfigError(f"--base {path}: needs a 'timestamp', to know which events are new")
    ours, theirs = (
        one.model_dump(mode="json", exclude={"name", "split", "crosses", "kept_negatives"}) for one in (schema, base)
    )
    for key in ours:
        if ours[key] == theirs[key]:
            continue
        if key == "features":
            names = sorted({*ours[key], *theirs[key]})
            name = next(name for name in names if ours[key].get(name) != theirs[key].get(name))
            raise ConfigError(f"--base {path}: feature {name!r} is not the same there; ids would change their meaning")
        raise ConfigError(f"--base {path}: {key!r} is {theirs[key]} there and {ours[key]} here; make them the same")
