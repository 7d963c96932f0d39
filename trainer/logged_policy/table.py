"""A log file → the estimators' arrays, by the names of its columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from tfrec.errors import ConfigError, DataError, did_you_mean
from tfrec.off_policy import LoggedActions, LoggedSlates
from tfrec.off_policy.log import ROUNDING, row_name

READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".csv": pyarrow.csv.read_csv,
    ".jsonl": pyarrow.json.read_json,
    ".parquet": pq.read_table,
}


def require_log(path: str | Path) -> None:
    """See that a log can be read, without reading it; raises as `LogTable`."""
    suffix = Path(path).suffix
    if suffix not in READERS:
        raise ConfigError(f"--log {path}: unknown format {suffix!r}; allowed: {', '.join(READERS)}")
    if not Path(path).is_file():
        raise DataError(f"--log {path}: no such file")


class LogTable:
    """The columns of a log file.

    Raises:
        ConfigError: the file's name has another ending than .csv, .jsonl or .parquet.
        DataError: the file is absent, empty or cannot be read.

    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        require_log(path)
        try:
            self._table = READERS[self.path.suffix](self.path)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"--log {path}: cannot be read ({str(error).splitlines()[0]})") from None
        if not self._table.num_rows:
            raise DataError(f"--log {path}: has no rows")

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def numbers(self, column: str) -> np.ndarray:
        """float64 [rows]; raises DataError where a value is none, or not finite."""
        values = self._column(column)
        try:
            found: np.ndarray = pc.cast(values, pa.float64()).to_numpy()
        except pa.ArrowException as error:
            raise DataError(
                f"{self.path}: column {column!r} is not of numbers ({str(error).splitlines()[0]})"
            ) from None
        self._require(column, found, np.isfinite(found), "finite numbers")
        return found

    def probabilities(self, column: str, *, zero_is_allowed: bool = False) -> np.ndarray:
        """`numbers` from 0 to 1; raises DataError where one is outside."""
        found = self.numbers(column)
        is_low = found < 0 if zero_is_allowed else found <= 0
        allowed = "0 to 1" if zero_is_allowed else "above 0, up to 1"
        self._require(column, found, ~is_low & (found <= 1 + ROUNDING), allowed)
        return found

    def _require(self, column: str, values: np.ndarray, is_right: np.ndarray, allowed: str) -> None:
        if not is_right.all():
            first, count = int(np.argmin(is_right)), int((~is_right).sum())
            raise DataError(
                f"{self.path}: column {column!r} is {values[first]:g} in {row_name(first)}, and {count:,} in all are "
                f"wrong; allowed: {allowed}"
            )

    def optional_numbers(self, column: str | None) -> np.ndarray | None:
        """`numbers`, or None for no column."""
        return None if column is None else self.numbers(column)

    def labels(self, column: str | None) -> np.ndarray | None:
        """An integer per row, equal where the values are: int64 [rows]; None for no column."""
        if column is None:
            return None
        encoded: np.ndarray = self._column(column).combine_chunks().dictionary_encode().indices.to_numpy()
        return encoded

    def texts(self, column: str) -> np.ndarray:
        """Values as they would stand in a CSV: bytes (object) [rows]"""
        texts = pc.cast(self._column(column), pa.string())
        found: np.ndarray = pc.cast(texts, pa.binary()).to_numpy(zero_copy_only=False)
        return found

    def _column(self, column: str) -> pa.ChunkedArray:
        if column not in self._table.column_names:
            raise DataError(f"{self.path}: no column {column!r}{did_you_mean(column, self._table.column_names)}")
        values = self._table[column]
        if values.null_count:
            row = int(np.argmax(values.is_null().to_numpy()))
            raise DataError(
                f"{self.path}: column {column!r} is empty in {row_name(row)}, in {values.null_count:,} rows in all; "
                "fill it in"
            )
        return values


def actions_of_table(
    table: LogTable,
    *,
    reward: str,
    propensity: str,
    target_probability: str,
    cluster: str | None = None,
    predicted: str | None = None,
    predicted_target: str | None = None,
) -> LoggedActions:
    """Single actions, one per row of the table, from these columns."""
    return LoggedActions(
        table.numbers(reward),
        table.probabilities(propensity),
        table.probabilities(target_probability, zero_is_allowed=True),
        table.labels(cluster),
        table.optional_numbers(predicted),
        table.optional_numbers(predicted_target),
    )


def slates_of_table(
    table: LogTable,
    *,
    request: str,
    position: str,
    reward: str,
    propensity: str,
    target_probability: str,
    position_propensity: str | None = None,
    position_target_probability: str | None = None,
    cluster: str | None = None,
) -> LoggedSlates:
    """Slates, one per request, from a table with one row per shown item.

    Raises:
        DataError: a request has two rows at one position.

    """
    slate = table.labels(request)
    assert slate is not None
    known, place = np.unique(table.numbers(position), return_inverse=True)
    shape = (int(slate.max()) + 1, len(known))
    shown = np.zeros(shape, np.int64)
    np.add.at(shown, (slate, place), 1)
    if (shown > 1).any():
        twice = known[np.argwhere(shown > 1)[0][1]]
        raise DataError(f"{table.path}: a request has several rows at position {twice:g}; keep one")

    def spread(values: np.ndarray, past_the_end: float = 1.0) -> np.ndarray:
        found = np.full(shape, past_the_end)
        found[slate, place] = values
        return found

    def chances(column: str | None, *, zero_is_allowed: bool) -> np.ndarray | None:
        return None if column is None else spread(table.probabilities(column, zero_is_allowed=zero_is_allowed))

    labels = table.labels(cluster)
    if labels is not None:
        by_row, labels = labels, np.zeros(shape[0], np.int64)
        labels[slate] = by_row
    return LoggedSlates(
        spread(table.numbers(reward), 0.0),
        spread(table.probabilities(propensity)),
        spread(table.probabilities(target_probability, zero_is_allowed=True)),
        chances(position_propensity, zero_is_allowed=False),
        chances(position_target_probability, zero_is_allowed=True),
        is_shown=shown == 1,
        labels=labels,
    )
