"""A log that datasets are made of while something goes wrong, and what is left to be looked at."""

from __future__ import annotations

import hashlib
import json
import random
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.transforms.conftest import Workshop

ROOT = Path(__file__).parents[3]
YAML = """\
name: faults
events: {files: "events*"}
features:
  user: {role: user, kind: categorical, id: true}
  past: {role: user, kind: sequence, length: 5}
  item: {role: item, kind: categorical, id: true}
  seen: {role: item, kind: numeric, so_far: item_events}
  price: {role: context, kind: numeric}
label: {column: stars}
timestamp: {column: when, unit: s}
max_rejected_share: 1
"""
PARQUET = YAML.replace('"events*"', '"events*", format: parquet')
JSONL = YAML.replace('"events*"', '"events*", format: jsonl')
COLUMNS = ("user", "item", "stars", "when", "price")


def log_rows(count: int, seed: int = 0) -> list[tuple[str, ...]]:
    rng = random.Random(seed)
    return [
        (f"u{rng.randrange(20)}", f"i{rng.randrange(15)}", str(rng.randint(1, 5)), str(1_600_000_000 + 60 * at), "1.5")
        for at in range(count)
    ]


def csv_of(rows: list[tuple[str, ...]]) -> str:
    return "".join(",".join(row) + "\n" for row in [COLUMNS, *rows])


def write_parquet(path: Path, rows: list[tuple[str, ...]], **changed: pa.Array) -> None:
    columns = {name: pa.array([row[at] for row in rows]) for at, name in enumerate(COLUMNS)}
    pq.write_table(
        pa.table(columns | changed), path, compression="none", use_dictionary=False, write_page_checksum=True
    )


def fingerprint_if_whole(output: Path) -> str | None:
    """None where there is nothing; every file that the manifest names must be as it says."""
    if not output.exists():
        return None
    manifest = json.loads((output / "manifest.json").read_text())
    for part, entries in manifest["files"].items():
        for entry in entries:
            assert hashlib.sha256((output / part / entry["name"]).read_bytes()).hexdigest() == entry["sha256"]
    for counts in manifest["rows"].values():
        assert counts["rows"] == counts["accepted"] + counts["rejected"]
    return str(manifest["fingerprint"])


def command(shop: Workshop) -> list[str]:
    config = shop.input.parent.parent / "dataset.yaml"
    config.write_text(YAML)
    flags = ["--config", str(config), "--input-dir", str(shop.input), "--output", str(shop.output)]
    return [sys.executable, "-m", "transforms.run", *flags]


def error_lines(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line and not line.startswith("transforms ")]
