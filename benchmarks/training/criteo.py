"""`python -m benchmarks.training.criteo`: a generated log like Criteo's, 26 categorical fields and 13 numbers.

The sizes of the fields run from 10 values to a million, and values occur by Zipf's law. The truth is logistic: an
effect of each value, a product of two hidden vectors for some pairs of fields, and a line in the numbers. The same
seed and number of rows give the same log.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

EVENTS, CONFIG = "events.parquet", "dataset.yaml"
NUMBERS = 13
SMALLEST, LARGEST, CATEGORICALS = 10, 1_000_000, 26
USER, ITEM = "user_id", "item_id"  # two of the 26, which the schema wants as ids
FEW = 1_000  # users and items, where the tables have a given size
HASHED_FROM = 10_000  # values; larger fields are hashed into as many buckets, so their tables have all rows
CHUNK_ROWS = 100_000
PAIRS, HIDDEN_DIM = 8, 4


def field_sizes(total: int | None = None) -> dict[str, int]:
    """Field → number of its values.

    From 10 to a million in even steps of the logarithm; or, where their `total` is given, few users and items, whose
    vocabularies come from the log, and all other fields alike and hashed, so that the tables have that many rows.
    """
    names = [f"c{number:02d}" for number in range(1, CATEGORICALS + 1)]
    names[CATEGORICALS - 4], names[CATEGORICALS - 6] = USER, ITEM
    if total is None:
        sizes = np.geomspace(SMALLEST, LARGEST, CATEGORICALS).round().astype(int).tolist()
        return dict(zip(names, sizes, strict=True))
    each = (total - 2 * FEW) // (CATEGORICALS - 2)
    if each < HASHED_FROM:
        raise ValueError(f"{total} rows are too few: the fields would not be hashed")
    return {name: FEW if name in (USER, ITEM) else each for name in names}


def dataset_config(sizes: dict[str, int], rows_per_record: int = 1) -> str:
    """The dataset.yaml of such a log."""
    features: dict[str, dict[str, object]] = {}
    for name, size in sizes.items():
        if name in (USER, ITEM):
            features[name] = {"role": name.removesuffix("_id"), "kind": "categorical", "id": True}
        else:
            features[name] = {"role": "context", "kind": "categorical"}
            if size >= HASHED_FROM:
                features[name]["hash_buckets"] = size
    features |= {f"n{number:02d}": {"role": "context", "kind": "numeric"} for number in range(1, NUMBERS + 1)}
    content = {
        "name": "criteo-like",
        "events": {"files": EVENTS, "format": "parquet"},
        "features": features,
        "label": {"column": "click"},
        "split": {"strategy": "random", "validation": 0.05, "test": 0.05},
        "rows_per_record": rows_per_record,
        "compression": "none",
    }
    return yaml.safe_dump(content, sort_keys=False)


class Truth:
    """What decides over a click; effects are in log-odds."""

    def __init__(self, sizes: Sequence[int], rng: np.random.Generator) -> None:
        self._effects = [rng.normal(0, 0.25, size).astype(np.float32) for size in sizes]
        self._pairs = [tuple(rng.choice(len(sizes), 2, replace=False)) for _ in range(PAIRS)]
        used = sorted({field for pair in self._pairs for field in pair})
        self._hidden = {field: rng.normal(0, 0.5, (sizes[field], HIDDEN_DIM)).astype(np.float32) for field in used}
        self._slopes = rng.normal(0, 0.15, NUMBERS)

    def log_odds(self, values: Sequence[np.ndarray], numbers: np.ndarray) -> np.ndarray:
        """Ranks of the fields' values, [rows] each, and numbers [rows, 13] → float [rows]."""
        odds = numbers @ self._slopes - 1.0
        for effects, ranks in zip(self._effects, values, strict=True):
            odds += effects[ranks]
        for one, other in self._pairs:
            odds += np.einsum("rd,rd->r", self._hidden[one][values[one]], self._hidden[other][values[other]])
        return odds


def draw_ranks(size: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Ranks from 0, of probability about 1 / (rank + 1): the inverse of the continuous law, cut to the size."""
    return np.minimum(np.exp(rng.random(rows) * np.log(size + 1.0)).astype(np.int64) - 1, size - 1)


def tokens_of(ranks: np.ndarray) -> pa.Array:
    """Eight hexadecimal digits that do not tell the rank."""
    mixed = (ranks.astype(np.uint64) * np.uint64(2654435761) % np.uint64(1 << 32)).astype(">u4")
    digits = np.frombuffer(mixed.tobytes().hex().encode(), dtype="S8")
    return pa.array(digits.astype(str)).dictionary_encode()


def write_log(directory: Path, rows: int, sizes: dict[str, int], seed: int, rows_per_record: int = 1) -> None:
    """Write events.parquet and dataset.yaml, and about.json last."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    truth = Truth(list(sizes.values()), rng)
    (directory / CONFIG).write_text(dataset_config(sizes, rows_per_record), encoding="utf-8")
    writer = None
    for start in range(0, rows, CHUNK_ROWS):
        count = min(CHUNK_ROWS, rows - start)
        values = [draw_ranks(size, count, rng) for size in sizes.values()]
        numbers = rng.normal(size=(count, NUMBERS))
        clicks = rng.random(count) < 1 / (1 + np.exp(-truth.log_odds(values, numbers)))
        columns: dict[str, pa.Array] = {name: tokens_of(ranks) for name, ranks in zip(sizes, values, strict=True)}
        columns |= {f"n{number + 1:02d}": pa.array(numbers[:, number].astype(np.float32)) for number in range(NUMBERS)}
        table = pa.table({**columns, "click": pa.array(clicks.astype(np.int8))})
        writer = writer or pq.ParquetWriter(directory / EVENTS, table.schema)
        writer.write_table(table)
    assert writer is not None, "no rows"
    writer.close()
    about = {"rows": rows, "seed": seed, "sizes": sizes}
    (directory / "about.json").write_text(json.dumps(about) + "\n", encoding="utf-8")


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--output", type=Path, required=True)
    flags.add_argument("--rows", type=int, required=True)
    flags.add_argument("--table-rows", type=int, help="of all fields together, each alike; 10 to 1 M by default")
    flags.add_argument("--rows-per-record", type=int, default=1)
    flags.add_argument("--seed", type=int, default=1)
    chosen = flags.parse_args()
    write_log(chosen.output, chosen.rows, field_sizes(chosen.table_rows), chosen.seed, chosen.rows_per_record)
