"""How many files each part of a dataset gets."""

from __future__ import annotations

from typing import Any

from tfrec.schema import SPLITS, CategoricalFeature, Schema, SequenceFeature
from transforms import layout, storage
from transforms.dataset_config import DatasetConfig
from transforms.encode import EncodePlan


def plan_encoding(
    config: DatasetConfig,
    output: str,
    partitions: tuple[int, ...],
    cuts: tuple[int, int] | None,
    splits: dict[str, Any],
) -> EncodePlan:
    """Number of files of each part, by the rows that go there; the rest is passed on."""
    schema = config.schema_of()
    width = record_bytes(schema)
    shards = {name: max(1, -(-int(splits[name]["rows"]) * width // config.shard_bytes)) for name in SPLITS}
    counts = {}
    for side in ("users", "items"):
        counts[side] = storage.read_table(layout.encoded_side(output, side)).num_rows
        shards[side] = max(1, -(-counts[side] * width // config.shard_bytes))
    return EncodePlan(
        schema,
        output,
        partitions,
        cuts,
        shards,
        counts["users"],
        config.compression == "gzip",
    )


def record_bytes(schema: Schema) -> int:
    """Roughly the bytes of one record, from the schema alone."""
    width = 120
    for name, feature in schema.encoded.items():
        values = 1
        if isinstance(feature, SequenceFeature):
            values = feature.length
        elif isinstance(feature, CategoricalFeature) and feature.multivalued:
            values = 3
        width += len(name) + 10 + 3 * values
    return width
