"""Which columns of the events are the user, the item, the label and the time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tfrec.errors import ConfigError, DataError, did_you_mean
from transforms.infer.column import Column
from transforms.infer.dialect import Table
from transforms.infer.names import names_a_code, role_of_name

_MAX_LABEL_VALUES = 21  # 0, 0.5, …, 10
_MIN_TIMES = 10  # fewer distinct times cannot be cut into three splits


@dataclass(frozen=True)
class Found:
    """A column with a role, the reason, and what dataset.yaml says beside its name."""

    column: Column
    why: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Roles:
    """The columns of the events that are no features."""

    user: Found
    item: Found
    label: Found | None
    time: Found | None
    notes: tuple[str, ...]  # what was considered and not taken

    @property
    def ids(self) -> dict[Literal["user", "item"], Found]:
        return {"user": self.user, "item": self.item}

    @property
    def columns(self) -> set[str]:
        return {found.column.name for found in (self.user, self.item, self.label, self.time) if found is not None}


def find_roles(
    events: Table,
    user_keys: frozenset[str] = frozenset(),
    item_keys: frozenset[str] = frozenset(),
    user_column: str | None = None,
    item_column: str | None = None,
) -> Roles:
    """Find the roles by name, then by content.

    Args:
        events: the sampled log.
        user_keys: the keys of a users table, if there is one.
        item_keys: likewise of an items table.
        user_column: set by the caller instead of guessed.
        item_column: likewise.

    Raises:
        ConfigError: the events do not have the caller's column.
        DataError: no column is left that can be a user or an item.

    """
    has_header = events.dialect.header is not None
    given = {role: _given(events, role, name) for role, name in (("user", user_column), ("item", item_column))}
    taken = {column.name for column in given.values() if column is not None}
    notes: list[str] = []
    scalars = [column for column in events.columns if column.is_scalar]
    time = _time([column for column in scalars if column.name not in taken], has_header, notes)
    taken |= {time.column.name} if time else set()
    label = _label([column for column in scalars if column.name not in taken], has_header, notes)
    taken |= {label.column.name} if label else set()
    user, item = _ids([c for c in scalars if c.name not in taken], given, user_keys, item_keys, events)
    return Roles(user, item, label, time, tuple(notes))


def _given(events: Table, role: str, name: str | None) -> Column | None:
    if name is None:
        return None
    column = events.column(name)
    if column is None:
        raise ConfigError(
            f"--{role}-column {name!r}: {events.sample.names} has no such column"
            f"{did_you_mean(name, [found.name for found in events.columns])}"
        )
    return column


def _time(columns: list[Column], has_header: bool, notes: list[str]) -> Found | None:
    named = [column for column in columns if role_of_name(column.name) == "time"]
    timed = [column for column in named if column.time_unit and column.distinct > 1]
    if timed:  # the day of something else has fewer values than the time of the event
        column = max(timed, key=lambda found: found.distinct)
        return Found(column, _time_text(column), {"unit": column.time_unit})
    for column in named:
        notes.append(
            f"unsure: column {column.name!r} is called like a time but is neither a Unix time nor an ISO one (such as "
            f"{next(iter(column.counts), '')!r}); write it as 2024-01-31T12:00:00 and name it as timestamp"
        )
    by_content = [
        column
        for column in columns
        if column.time_unit and column.distinct > 1 and role_of_name(column.name) is None
        if column.is_integer or column.iso_range
    ]
    if not by_content or (has_header and names_a_code(by_content[-1].name)):
        return None
    column = by_content[-1]  # logs put the time last
    why = f"{column.range_text}: in the range of Unix times in {column.time_unit}"
    why = _time_text(column) if column.iso_range else why
    return Found(column, ("unsure: " if has_header else "") + why, {"unit": column.time_unit})


def _time_text(column: Column) -> str:
    if column.iso_range:
        first, last = column.iso_range
        return f"{first}..{last}: ISO times"
    return f"{column.numbers[0]:.0f}..{column.numbers[-1]:.0f}: Unix times in {column.time_unit}"


def _label(columns: list[Column], has_header: bool, notes: list[str]) -> Found | None:
    for column in (column for column in columns if role_of_name(column.name) == "label"):
        if column.is_truth and column.missing_share == 0:
            return Found(column, "true and false: 1 where it is true", {"values": ["true"]})
        if column.numbers and column.distinct > 1 and column.missing_share == 0:
            return _label_of(column, "")
        reason = "constant" if column.distinct < 2 else "missing in some rows" if column.numbers else "not a number"
        notes.append(f"column {column.name!r} is called like a label but is {reason}: not taken")
    for column in columns:
        if _is_like_rating(column):
            if not has_header:
                return _label_of(column, "")
            notes.append(f"unsure: column {column.name!r} ({column.range_text}) may be a label; add it if so")
    return None


def _is_like_rating(column: Column) -> bool:
    if not column.numbers or column.missing_share > 0 or role_of_name(column.name) in ("user", "item"):
        return False
    is_half = all(number * 2 == int(number * 2) for number in column.numbers)
    is_small = column.numbers[0] >= -1 and column.numbers[-1] <= 10
    return is_half and is_small and 2 <= column.distinct <= _MAX_LABEL_VALUES and len(column.cells) > column.distinct


def _label_of(column: Column, prefix: str) -> Found:
    low, high = column.numbers[0], column.numbers[-1]
    if column.distinct > _MAX_LABEL_VALUES or low < -10 or high > 100:
        return Found(column, f"{column.range_text}: predicted as a value; add a threshold to predict whether")
    if column.distinct == 2:
        return Found(column, f"{column.range_text}: 1 where it is {high:g}", {"threshold": _plain(high)})
    threshold = 4.0 if 3 < high <= 5 else max(low, _round_half(0.8 * high))
    why = f"{prefix}{column.range_text}: a rating; threshold {threshold:g} is a guess"
    return Found(column, why, {"threshold": _plain(threshold)})


def _round_half(number: float) -> float:
    return round(number * 2) / 2


def _plain(number: float) -> float:
    return int(number) if number == int(number) else number


def _ids(
    columns: list[Column],
    given: dict[str, Column | None],
    user_keys: frozenset[str],
    item_keys: frozenset[str],
    events: Table,
) -> tuple[Found, Found]:
    """The user and the item: as the caller says, by name, by what the side tables hold, by cardinality and place."""
    found: dict[str, Found] = {
        role: Found(column, "named on the command line") for role, column in given.items() if column is not None
    }
    for role in ("user", "item"):
        named = [column for column in columns if role_of_name(column.name) == role and column.distinct > 1]
        if role not in found and named:
            best = max(named, key=lambda column: column.distinct)
            found[role] = Found(best, f"by its name; {best.distinct:,} distinct in {len(best.cells):,} rows")
    free = [column for column in columns if all(column is not other.column for other in found.values())]
    candidates = [column for column in free if _may_identify(column)]
    repeated = [column for column in candidates if column.distinct < 0.95 * len(column.cells)]
    missing = [role for role in ("user", "item") if role not in found]
    if len(repeated) >= len(missing):  # a number of the event itself stands in one row only
        candidates = repeated
    if len(candidates) < len(missing):
        raise DataError(
            f"{events.sample.names}: no column looks like the {missing[-1]} id (columns: "
            f"{', '.join(column.name for column in events.columns)}); name it with --{missing[-1]}-column"
        )
    if missing:
        most = sorted(candidates, key=lambda column: -column.distinct)[: max(len(missing), 2)]
        in_order = [column for column in candidates if column in most]
        found |= _assign(in_order, missing, {"user": user_keys, "item": item_keys})
    return found["user"], found["item"]


def _may_identify(column: Column) -> bool:
    is_whole = column.is_integer or column.numeric_share < 1
    return column.distinct > 1 and column.missing_share <= 0.01 and is_whole and column.mean_length <= 64


def _assign(columns: list[Column], roles: list[str], keys: dict[str, frozenset[str]]) -> dict[str, Found]:
    """Give each role a column, so that the values found in the side tables are most; else in order of place."""

    def overlap(column: Column, role: str) -> float:
        return sum(value in keys[role] for value in column.counts) / column.distinct if keys[role] else 0.0

    if len(roles) == 1:
        ways: list[tuple[Column, ...]] = [(column,) for column in sorted(columns, key=lambda found: -found.distinct)]
    else:
        ways = [(columns[0], columns[1]), (columns[1], columns[0])]

    def total(way: tuple[Column, ...]) -> float:
        return round(sum(overlap(column, role) for column, role in zip(way, roles, strict=True)), 6)

    best = max(ways, key=total)  # the first of equals
    result = {}
    for column, role in zip(best, roles, strict=True):
        share = overlap(column, role)
        if share > 0.5:
            why = f"{share:.0%} of its {column.distinct:,} values are keys of the {role}s table"
        else:
            place = "many values, and users come before items" if len(roles) == 2 else "the most values left"
            why = f"unsure: {column.distinct:,} distinct in {len(column.cells):,} rows; {place}"
        result[role] = Found(column, why)
    return result


def too_few_times(column: Column) -> bool:
    return column.distinct < _MIN_TIMES
