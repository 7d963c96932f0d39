"""From rows of a log to users, the unit that variants were assigned to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.errors import DataError
from tfrec.experiment.metric import ROWS, Metric, Part

DAY_MS = 86_400_000


@dataclass(frozen=True)
class LogColumns:
    """Where things stand in a log, and which of its rows count.

    Attributes:
        user: that variants were assigned to
        variant: that the user was served
        time: of the row; timestamps, or whole milliseconds since 1970
        window_days: rows later than this after the user's first one do not count, nor users who are not watched as long
        max_crossed: share of users in several variants above which the log is refused; below, they are left out

    """

    user: str = "user"
    variant: str = "variant"
    time: str | None = None
    window_days: float | None = None
    max_crossed: float = 0.01

    def needed(self, metrics: Iterable[Metric], covariates: Iterable[str]) -> dict[str, pa.DataType | None]:
        """Return the columns to read, and what their texts are read as where the file has no types."""
        values = [part.column for metric in metrics for part in metric.parts if part.column != ROWS]
        return {
            **dict.fromkeys([*values, *covariates], pa.float64()),
            **({self.time: None} if self.time else {}),
            **dict.fromkeys([self.user, self.variant], pa.string()),
        }


@dataclass(frozen=True)
class ExperimentUsers:
    """The users of an experiment, in the order in which their values became known if there are times.

    Attributes:
        variants: names
        variant: position in `variants`. int [users]
        parts: numbers of a user, NaN for none. float [users] each
        covariates: mean over the user's rows, NaN for none. float [users] each
        known_ms: when the user's values were known: the first row's time, or the window's end. int64 [users]
        rows: that counted
        crossed: users in several variants, left out
        incomplete: users not watched for the whole window, left out
        grows: whether values of some users can still change, for they have several rows and no window

    """

    variants: tuple[str, ...]
    variant: np.ndarray
    parts: Mapping[Part, np.ndarray]
    covariates: Mapping[str, np.ndarray]
    known_ms: np.ndarray | None
    rows: int
    crossed: int
    incomplete: int
    grows: bool


def users_of(
    table: pa.Table, columns: LogColumns, metrics: Iterable[Metric], covariates: Iterable[str] = ()
) -> ExperimentUsers:
    """Fold the rows of each user.

    Raises:
        DataError: a column is of another type, a row has no user or variant, or too many users are in two variants.

    """
    if not table.num_rows:
        raise DataError("the log has no rows")
    user, _ = _codes(table, columns.user)
    variant, found = _codes(table, columns.variant)
    names = np.array([str(value) for value in found.to_pylist()])
    variants, places = np.unique(names, return_inverse=True)
    variant = places[variant]
    count = int(user.max()) + 1
    lowest, highest = np.full(count, len(variants)), np.full(count, -1)
    np.minimum.at(lowest, user, variant)
    np.maximum.at(highest, user, variant)
    is_crossed = lowest != highest
    if (share := is_crossed.mean()) > columns.max_crossed:
        raise DataError(
            f"{is_crossed.sum():,} of {count:,} users ({share:.1%}) are in several variants, more than the allowed "
            f"{columns.max_crossed:.1%}; is {columns.user!r} the unit that variants were assigned to?"
        )
    known_ms, in_window, is_complete = _windows(table, columns, user, count)
    keep = ~is_crossed & is_complete
    if not keep.any():
        raise DataError(f"no user was watched for {columns.window_days:g} days; give a shorter window")
    rows = in_window & keep[user]
    kept, of_row = np.flatnonzero(keep), user[rows]
    order = kept if known_ms is None else kept[np.argsort(known_ms[kept], kind="stable")]
    wanted = {part: None for metric in metrics for part in metric.parts}
    chosen = table.filter(pa.array(rows))
    return ExperimentUsers(
        variants=tuple(variants.tolist()),
        variant=lowest[order],
        parts={part: _folded(chosen, part, of_row, count)[order] for part in wanted},
        covariates={name: _folded(chosen, Part(name, "mean"), of_row, count)[order] for name in covariates},
        known_ms=None if known_ms is None else known_ms[order],
        rows=int(rows.sum()),
        crossed=int(is_crossed.sum()),
        incomplete=int((~is_crossed & ~is_complete).sum()),
        grows=columns.window_days is None and len(of_row) > len(kept),
    )


def _codes(table: pa.Table, name: str) -> tuple[np.ndarray, pa.Array]:
    """Return each row's place in the distinct values, and these."""
    column = table[name]
    if column.null_count:
        raise DataError(
            f"column {name!r}: {column.null_count:,} of {len(column):,} rows have none; every row needs one"
        )
    encoded = column.dictionary_encode().unify_dictionaries()
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks]).astype(np.int64)
    return codes, encoded.chunk(0).dictionary


def _windows(
    table: pa.Table, columns: LogColumns, user: np.ndarray, count: int
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """When each user's values were known, which rows count, and which users were watched long enough."""
    if columns.time is None:
        return None, np.ones(len(user), bool), np.ones(count, bool)
    time = _milliseconds(table, columns.time)
    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, user, time)
    if columns.window_days is None:
        return first, np.ones(len(user), bool), np.ones(count, bool)
    end = first + round(columns.window_days * DAY_MS)
    return end, time < end[user], end <= time.max()


def _milliseconds(table: pa.Table, name: str) -> np.ndarray:
    column = table[name]
    try:
        if pa.types.is_string(column.type) or pa.types.is_date(column.type):
            column = pc.cast(column, pa.timestamp("ms"))
        if pa.types.is_timestamp(column.type):
            column = pc.cast(pc.cast(column, pa.timestamp("ms"), safe=False), pa.int64())
    except pa.ArrowException as error:
        raise DataError(f"column {name!r}: not a time: {str(error).splitlines()[0]}") from None
    if not pa.types.is_integer(column.type) or column.null_count:
        raise DataError(
            f"column {name!r}: got {column.type} with {column.null_count:,} nulls; allowed: timestamps, ISO dates, or "
            "whole milliseconds since 1970, in every row"
        )
    return column.to_numpy().astype(np.int64)


def _folded(table: pa.Table, part: Part, of_row: np.ndarray, count: int) -> np.ndarray:
    """Return the number of each user, NaN for users without a value. float [users]"""
    if part.column == ROWS and ROWS not in table.column_names:
        return np.bincount(of_row, minlength=count).astype(np.float64)
    column = table[part.column]
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)):
        raise DataError(f"column {part.column!r}: got {column.type}; allowed: numbers or booleans")
    values = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if np.isinf(values).any():
        raise DataError(
            f"column {part.column!r}: {np.isinf(values).sum():,} values are infinite; null says there is none"
        )
    is_there = ~np.isnan(values)
    users, values = of_row[is_there], values[is_there]
    counts = np.bincount(users, minlength=count)
    if part.fold == "max":
        folded = np.full(count, -np.inf)
        np.maximum.at(folded, users, values)
    else:
        folded = np.bincount(users, weights=values, minlength=count) / (
            np.maximum(counts, 1) if part.fold == "mean" else 1
        )
    return np.where(counts > 0, folded, np.nan)
