"""Logs to guess a config of, and the ways to ask for it."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tfrec.config_file import parse_config
from transforms.dataset_config import DatasetConfig
from transforms.infer.__main__ import infer

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("TFREC_DATA", ROOT / "../shared/data"))
START = 1_600_000_000

PUBLISHED = {
    "ml-100k": ("ml-100k", "u.data", "u.user", "u.item"),
    "ml-1m": ("ml-1m", "ratings-no-timestamp.dat", "users.dat", "movies.dat"),
    "movietweetings": ("movietweetings-100k", "ratings.dat", None, "movies.dat"),
}


def published(preset):
    folder, *names = PUBLISHED[preset]
    directory = DATA / folder
    if not directory.exists():
        pytest.skip(f"{directory} is not here; set TFREC_DATA to where the data sets are")
    return [directory / name if name else None for name in names]


def config_of(log, users=None, items=None, **more):
    text, unsure = infer([log] if isinstance(log, Path) else log, users, items, **more)
    return parse_config(text, DatasetConfig, source="dataset.yaml"), text, unsure


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "transforms.infer", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )


def write_rows(path, rows, delimiter=",", quoting=csv.QUOTE_MINIMAL):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows(rows)
    return path


def events(seed=3, count=300):
    """user, item, rating, time of a small log."""
    rng = random.Random(seed)
    return [
        (f"u{rng.randrange(25)}", f"i{rng.randrange(40)}", rng.randint(1, 5), START + 100 * number + rng.randrange(90))
        for number in range(count)
    ]


def line_of(text, key):
    """The line of a key and the comment above it."""
    lines = text.splitlines()
    at = next(number for number, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
    return lines[at - 1] + "\n" + lines[at] if lines[at - 1].lstrip().startswith("#") else lines[at]


ODD = {
    "two columns, no header": [(user, item) for user, item, _, _ in events()],
    "two columns with a header": [("customer_no", "article_no"), *((u, i) for u, i, _, _ in events())],
    "no header": events(),
    "semicolons": [("Kunde", "Artikel", "Wert", "Zeit"), *events()],
    "quoted commas": [
        ("user", "item", "note", "rating", "ts"),
        *((u, i, f"good, {'very' if r % 2 else 'quite'}", r, t) for u, i, r, t in events()),
    ],
    "milliseconds": [("visitorid", "itemid", "timestamp"), *((u, i, 1000 * t) for u, i, _, t in events())],
    "columns of one value and of none": [
        ("user", "item", "shop", "nothing"),
        *((u, i, "here", "") for u, i, _, _ in events()),
    ],
    "reserved names": [
        ("user", "item", "k", "label", "2nd price", "yes"),
        *((u, i, n % 7, r % 2, n * 1.5, n % 3) for n, (u, i, r, _) in enumerate(events())),
    ],
}
