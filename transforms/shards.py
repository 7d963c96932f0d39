"""How many files each part of a dataset gets."""

from __future__ import annotations

from typing import Any

from tfrec.dataset.records import list_width
from tfrec.schema import SPLITS, Feature, Schema, SequenceFeature, TextFeature, VectorFeature
from transforms import layout, storage
from transforms.dataset_config import DatasetConfig


def plan_shards(config: DatasetConfig, output: str, splits: dict[str, Any]) -> tuple[dict[str, int], int]:
    """Number of files of each part, by the rows that go there; and the number of users."""
    schema = config.schema_of()
    rows = {name: int(splits[name]["records"]) for name in SPLITS}
    rows |= {side: storage.read_table(layout.encoded_side(output, side)).num_rows for side in ("users", "items")}
    shards = {}
    for part, count in rows.items():
        width = bytes_per_row(schema, config.rows_per_record if part in SPLITS else 1)
        shards[part] = max(1, -(-count * width // config.shard_bytes))
    return shards, rows["users"]


def values_per_record(schema: Schema) -> int:
    """Roughly the numbers of one record."""
    return 8 + sum(_values(feature) for feature in schema.encoded.values())


def bytes_per_row(schema: Schema, rows_per_record: int) -> int:
    """Roughly the bytes of one row in a file, from the schema alone; names are written once a record."""
    names = 100 + sum(len(name) + 10 for name in schema.encoded)
    return 20 + names // rows_per_record + 3 * sum(_values(feature) for feature in schema.encoded.values())


def _values(feature: Feature) -> int:
    if isinstance(feature, SequenceFeature | VectorFeature):
        return feature.length
    width = list_width(feature)
    return 1 if width is None else min(width, 8 if isinstance(feature, TextFeature) else 3)
