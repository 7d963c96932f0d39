"""`python -m benchmarks.transforms.log`: a seeded CSV log of any length, written in bounded memory.

Seven columns, in order of time: user_id and item_id with activity and popularity like Zipf's law, device, country,
price, rating, timestamp. The same seed and number of rows give the same bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

EVENTS, ABOUT = "events.csv", "about.json"
ROWS_PER_USER, ITEMS = 50, 50_000
DEVICES = ("phone", "desktop", "tablet", "tv", "console")
COUNTRIES = 60
VALIDATION, TEST = 0.1, 0.1  # shares of the temporal split
CHUNK_ROWS = 250_000
_START, _SPAN = 1_700_000_000, 365 * 86_400  # Unix seconds


class Drawn:
    """A column of tokens, drawn by 1 / (rank + flat) ** exponent; tokens do not tell their rank."""

    def __init__(self, prefix: str, distinct: int, flat: float, exponent: float, rng: np.random.Generator) -> None:
        weights = 1.0 / (np.arange(distinct) + flat) ** exponent
        self._edges = np.cumsum(weights / weights.sum())
        numbers = pa.array(rng.permutation(distinct)).cast(pa.string())
        self._tokens = pc.binary_join_element_wise(prefix, pc.utf8_lpad(numbers, 7, "0"), "")

    def draw(self, rows: int, rng: np.random.Generator) -> pa.Array:
        rank = np.minimum(np.searchsorted(self._edges, rng.random(rows)), len(self._edges) - 1)
        return self._tokens.take(pa.array(rank))


def write_log(directory: Path, rows: int, seed: int) -> None:
    """Write events.csv, and about.json with the rows and the times from which validation and test begin."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    users = Drawn("u", max(10, rows // ROWS_PER_USER), flat=20.0, exponent=0.7, rng=rng)
    items = Drawn("i", ITEMS, flat=10.0, exponent=1.0, rng=rng)
    countries = Drawn("c", COUNTRIES, flat=1.0, exponent=1.0, rng=rng)
    devices = pa.array(DEVICES)
    cut_rows = {
        "validation_from": rows - int(np.ceil(rows * (VALIDATION + TEST) * (1 - 1e-12))),
        "test_from": rows - int(np.ceil(rows * TEST * (1 - 1e-12))),
    }
    about: dict[str, Any] = {"rows": rows, "seed": seed}
    options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
    schema = pa.schema({
        **dict.fromkeys(("user_id", "item_id", "device", "country"), pa.string()),
        "price": pa.string(), "rating": pa.int8(), "timestamp": pa.int64(),
    })  # fmt: skip
    with (directory / EVENTS).open("wb") as file, pa.csv.CSVWriter(file, schema, write_options=options) as writer:
        file.write((",".join(schema.names) + "\n").encode())  # Arrow would quote them
        for start in range(0, rows, CHUNK_ROWS):
            count = min(CHUNK_ROWS, rows - start)
            times = _START + ((np.arange(start, start + count) + rng.random(count)) * (_SPAN / rows)).astype(np.int64)
            for name, row in cut_rows.items():
                if start <= row < start + count:
                    about[name] = int(times[row - start])
            columns = [
                users.draw(count, rng),
                items.draw(count, rng),
                devices.take(pa.array(rng.choice(len(DEVICES), count, p=(0.5, 0.3, 0.1, 0.07, 0.03)))),
                countries.draw(count, rng),
                _prices(count, rng),
                pa.array(rng.choice(5, count, p=(0.06, 0.11, 0.27, 0.34, 0.22)).astype(np.int8) + np.int8(1)),
                pa.array(times),
            ]
            writer.write_table(pa.table(columns, schema=schema))
    (directory / ABOUT).write_text(json.dumps(about) + "\n")  # last: tells that the log is whole


def _prices(rows: int, rng: np.random.Generator) -> pa.Array:
    """Log-normal, two decimals."""
    cents = np.minimum(np.exp(rng.normal(8.0, 1.0, rows)), 9_999_999).astype(np.int64)
    fraction = pc.utf8_lpad(pa.array(cents % 100).cast(pa.string()), 2, "0")
    return pc.binary_join_element_wise(pa.array(cents // 100).cast(pa.string()), fraction, ".")


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--output", type=Path, required=True)
    flags.add_argument("--rows", type=int, required=True)
    flags.add_argument("--seed", type=int, default=1)
    chosen = flags.parse_args()
    write_log(chosen.output, chosen.rows, chosen.seed)
