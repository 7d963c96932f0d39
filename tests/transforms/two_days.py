"""Two days of a shop, the second with other devices, prices, items and more missing values; commands on them."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
from pathlib import Path

from tfrec.config_file import parse_config
from tfrec.dataset.directory import DatasetDirectory
from transforms.dataset import write_dataset
from transforms.dataset_config import DatasetConfig

ROOT = Path(__file__).parents[2]
NASTY = "<script>alert(1)</script>"
YAML = """\
name: shop
events: {files: log.csv}
features:
  user: {role: user, kind: categorical, id: true}
  past: {role: user, kind: sequence, length: 5}
  item: {role: item, kind: categorical, id: true}
  name: {role: item, kind: text}
  device: {role: context, kind: categorical}
  rare: {role: context, kind: categorical, min_count: 3}
  tags: {role: context, kind: categorical, separator: "|"}
  shelf: {role: context, kind: categorical, hash_buckets: 7}
  age: {role: context, kind: numeric, buckets: 4}
  price: {role: context, kind: numeric, log: true}
label: {column: stars, threshold: 4}
timestamp: {column: when, unit: s}
split: {strategy: temporal, validation: 0, test: 0}  # every row is training: plain loops over the rows are the oracle
"""
COLUMNS = ("user", "item", "name", "device", "rare", "tags", "shelf", "age", "price", "stars", "when")


def rows_of(day, count=1500):
    """Day 1 has newer devices, other prices, more missing values and new items."""
    rng = random.Random(day)
    rows = []
    for number in range(count):
        item = rng.randrange(60) + 15 * day
        devices = ["phone", "desk", "$a$", NASTY] if day == 0 else ["phone", "phone", "desk", "watch", "tv"]
        rows.append(
            {
                "user": f"u{rng.randrange(80)}",
                "item": f"i{item}",
                "name": f"Item & number {item}",
                "device": "" if rng.random() < 0.02 + 0.1 * day else rng.choice(devices),
                "rare": f"r{int(rng.expovariate(0.05))}",
                "tags": "|".join(rng.sample("abcdef" if day == 0 else "abcdegh", rng.randrange(4 - day))),
                "shelf": f"s{rng.randrange(20 + 5 * day)}",
                "age": "" if rng.random() < 0.1 else str(rng.randint(18, 40 + 3 * day)),
                "price": f"{rng.lognormvariate(3 + 0.3 * day, 1):.3f}",
                "stars": str(rng.randint(1, 5)),
                "when": str(1_600_000_000 + 86_400 * day + number),
            }
        )
    return rows


def write(directory, rows, yaml=YAML):
    directory.mkdir(parents=True)
    with (directory / "log.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    config = parse_config(yaml, DatasetConfig, source="dataset.yaml")
    write_dataset(config, str(directory), str(directory / "dataset"))
    return DatasetDirectory(directory / "dataset")


def command(module, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"transforms.{module}", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )


def cells(day, column):
    return [row[column] for row in rows_of(day, 1500 - 300 * day)]
