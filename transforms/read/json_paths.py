"""Dotted paths into JSON objects: `user.id` is the key `user.id`, else the key `id` of the object `user`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

# Where the keys of a log are looked for before it is read; keys that stand nowhere there are taken for misspelt.
PEEK_FILES = 16
PEEK_BYTES = 1 << 18
PEEK_ROWS = 1000


def value_at(row: dict[str, Any], path: str) -> Any:
    """The value at a path; None where it is null or there is none. A literal key with the dot wins unless null."""
    value = row.get(path)
    if value is not None or "." not in path:
        return value
    value = row
    for key in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def paths_in(row: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The paths of everything in a row that is not itself an object."""
    for key, value in row.items():
        if isinstance(value, dict):
            yield from paths_in(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def first_keys(content: bytes) -> tuple[dict[str, None], int]:
    """The paths in the first rows of a file that begins with `content`, and how many rows those are."""
    found: dict[str, None] = {}
    rows = 0
    for line in islice(content.split(b"\n"), PEEK_ROWS):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue  # the run rejects it, and counts it
        if isinstance(row, dict):
            rows += 1
            found |= dict.fromkeys(paths_in(row))
    return found, rows
