"""Impressions with what came of them: one row per shown item, as a log that `transforms` reads."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from serving.impressions.files import IMPRESSIONS, OUTCOMES, finished_files
from tfrec.errors import ConfigError, DataError

ROWS_AT_ONCE = 50_000
TAKEN, IGNORED = "taken", "ignored"

_TYPES = {
    "request_id": pa.string(),
    "time_ms": pa.int64(),
    "user_id": pa.string(),
    "item_id": pa.string(),
    "position": pa.int32(),
    "score": pa.float64(),
    "propensity": pa.float64(),
    "model": pa.string(),
    "version": pa.int64(),
    "retrieval_model": pa.string(),
    "retrieval_version": pa.int64(),
    "num_candidates": pa.int64(),
    "sampling_share": pa.float64(),
    "reward": pa.float64(),
    "outcome": pa.string(),
}
SCHEMA = pa.schema(list(_TYPES.items()))


@dataclasses.dataclass
class JoinCounts:
    """Impressions = joined + still open; outcomes of what stays open are counted in `outcomes` alone."""

    impressions: int = 0
    joined: int = 0
    taken: int = 0
    still_open: int = 0
    outcomes: int = 0
    outcomes_without_impression: int = 0
    late_outcomes: int = 0
    broken_lines: int = 0


class ImpressionJoin:
    """The join over the finished files of `directory`.

    An item's reward is the largest value among its outcomes within `window_ms` after it was shown, 0 without one. An
    impression whose window was not over at `until_ms` is left out: that nothing came of it yet says nothing.
    `context` names what of the requests becomes a column of text, as a CSV would have it.
    """

    def __init__(self, directory: str | Path, window_ms: int, until_ms: int, *, context: Sequence[str] = ()) -> None:
        """Raises DataError where the directory has no log, ConfigError for a `context` named as another column."""
        for name in context:
            if name in _TYPES:
                raise ConfigError(f"--context: {name!r} is a column of every row; log it under another name")
        self.counts = JoinCounts()
        self.schema = pa.schema([*SCHEMA, *(pa.field(name, pa.string()) for name in dict.fromkeys(context))])
        self._context = tuple(dict.fromkeys(context))
        self._directory = Path(directory)
        self._window_ms = window_ms
        self._until_ms = until_ms
        if not finished_files(self._directory, IMPRESSIONS):
            raise DataError(
                f"{directory}: no finished impressions-*.jsonl; the log finishes its files when they are old, and when "
                "it is closed"
            )

    def tables(self) -> Iterator[pa.Table]:
        """Yield the joined rows, many at a time, in the order of the files."""
        outcomes = self._outcomes()
        rows: list[dict[str, Any]] = []
        for row in self._lines(IMPRESSIONS):
            self.counts.impressions += 1
            if row["time_ms"] + self._window_ms > self._until_ms:
                self.counts.still_open += 1
                outcomes.pop((row["request_id"], row["item_id"]), None)
                continue
            rows.append(self._with_reward(row, outcomes))
            if len(rows) >= ROWS_AT_ONCE:
                yield pa.Table.from_pylist(rows, self.schema)
                rows = []
        self.counts.outcomes_without_impression = len(outcomes)
        if rows:
            yield pa.Table.from_pylist(rows, self.schema)

    def _with_reward(self, row: dict[str, Any], outcomes: dict[Any, list[tuple[int, float]]]) -> dict[str, Any]:
        found = outcomes.pop((row["request_id"], row["item_id"]), [])
        values = [value for time_ms, value in found if 0 <= time_ms - row["time_ms"] <= self._window_ms]
        self.counts.late_outcomes += len(found) - len(values)
        self.counts.joined += 1
        self.counts.taken += bool(values)
        of_request = row.get("context") or {}
        context = {name: _text(of_request.get(name)) for name in self._context}
        return {**row, **context, "reward": max(values, default=0.0), "outcome": TAKEN if values else IGNORED}

    def _outcomes(self) -> dict[Any, list[tuple[int, float]]]:
        """All outcomes by request and item; they are few beside the impressions."""
        found: dict[Any, list[tuple[int, float]]] = {}
        for row in self._lines(OUTCOMES):
            self.counts.outcomes += 1
            found.setdefault((row["request_id"], row["item_id"]), []).append((row["time_ms"], row["value"]))
        return found

    def _lines(self, kind: str) -> Iterator[dict[str, Any]]:
        for path in finished_files(self._directory, kind):
            with path.open(encoding="utf-8") as file:
                for line in file:
                    try:
                        yield json.loads(line)
                    except ValueError:  # the machine went down while it was written
                        self.counts.broken_lines += 1


def _text(value: Any) -> str | None:
    """A value of the context as logs spell it; lists as `a|b`, which is `separator: "|"` in dataset.yaml."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "|".join(_text(one) or "" for one in value)
    return str(value)


def write_parquet(path: str | Path, tables: Iterable[pa.Table], schema: pa.Schema = SCHEMA) -> None:
    """Write joined rows to a file; it gets its name when it is whole."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.tmp")
    try:
        with pq.ParquetWriter(unfinished, schema) as writer:
            for table in tables:
                writer.write_table(table)
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
