"""The sampled tables → everything that a dataset.yaml says, each line with its reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tfrec.errors import ConfigError
from tfrec.schema import REQUEST_NAMES, RESERVED_NAMES
from transforms.infer.column import Column
from transforms.infer.dialect import Table
from transforms.infer.kinds import Guess, flag_columns, guess_flags, guess_kind
from transforms.infer.names import role_of_name
from transforms.infer.roles import Roles, too_few_times

HISTORY_LENGTH = 30
Role = Literal["user", "item", "context"]


@dataclass(frozen=True)
class Line:
    """A key's value and the reason for it."""

    value: dict[str, Any]
    why: str


@dataclass
class Draft:
    """What a dataset.yaml will say."""

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)  # per table without a header
    features: dict[str, Line] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    label: Line | None = None
    timestamp: Line | None = None
    split: Line = field(default_factory=lambda: Line({"strategy": "temporal"}, ""))
    notes: list[str] = field(default_factory=list)


def key_of(table: Table, role: Literal["user", "item"], events: Table) -> Column:
    """The column of a users or items table that identifies its rows.

    Raises:
        ConfigError: every column has repeated values.

    """
    unique = [column for column in table.columns if column.is_scalar and column.is_unique]
    if not unique:
        raise ConfigError(
            f"{table.sample.names}: no column has a different value in each row, so none identifies the {role}; "
            f"is this the {role}s table?"
        )
    same_name = [column for column in unique if table.dialect.header and events.column(column.name)]
    by_name = [column for column in unique if role_of_name(column.name) == role]
    return (by_name or same_name or unique)[0]


def make_draft(events: Table, roles: Roles, side: Mapping[Literal["user", "item"], Table]) -> Draft:
    """Put all guesses together.

    Args:
        events: the sampled log.
        roles: of its columns.
        side: the users and items tables, by the role that they describe.

    Raises:
        ConfigError: a side table and the events have different names for one id.

    """
    draft = Draft(notes=list(roles.notes))
    names = _event_names(events, roles, side)
    if events.dialect.header is None:
        draft.columns["events"] = tuple(names[column.name] for column in events.columns)
    used = {names[column] for column in roles.columns}
    for role, found in roles.ids.items():
        key = names[found.column.name]
        _add(draft, key, {"role": role, "kind": "categorical", "id": True}, found.why)
        if role in side:
            _add_side(draft, role, side[role], key, events)
        if role == "user":
            history = {"role": "user", "kind": "sequence", "length": HISTORY_LENGTH}
            why = f"the user's last {HISTORY_LENGTH} items before the event"
            draft.features[_free("history", draft.features)] = Line(history, why)
    _add_event_features(draft, events, roles, names, used)
    if roles.label is not None:
        draft.label = Line({"column": names[roles.label.column.name], **roles.label.settings}, roles.label.why)
    else:
        draft.notes.append("no label: every event counts as a positive")
    _add_time_and_split(draft, roles, names)
    return draft


def _event_names(events: Table, roles: Roles, side: Mapping[Literal["user", "item"], Table]) -> dict[str, str]:
    """What dataset.yaml calls each column of the events: as the header does, else by its role."""
    names = {column.name: column.name for column in events.columns}
    if events.dialect.header is not None:
        return names
    keys = {role: key_of(table, role, events).name for role, table in side.items() if table.dialect.header}
    names[roles.user.column.name] = keys.get("user", "user_id")
    names[roles.item.column.name] = keys.get("item", "item_id")
    if roles.label is not None:
        names[roles.label.column.name] = "rating"
    if roles.time is not None:
        names[roles.time.column.name] = "timestamp"
    return names


def _add(draft: Draft, column: str, settings: dict[str, Any], why: str) -> None:
    """Add a feature that reads `column`, under a name that the schema allows."""
    name = re.sub(r"\W+", "_", column.strip()).strip("_") or "feature"
    if name[0].isdigit() or name in RESERVED_NAMES | REQUEST_NAMES:
        name = f"{settings['role']}_{name}"
    if name in draft.features:
        name = _free(f"{settings['role']}_{name}", draft.features)
    if "flags" not in settings and name != column:
        settings = settings | {"column": column}
    draft.features[name] = Line(settings, why)


def _free(name: str, taken: Mapping[str, object]) -> str:
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _add_side(draft: Draft, role: Literal["user", "item"], table: Table, event_key: str, events: Table) -> None:
    key = key_of(table, role, events)
    side = f"{role}s"
    names = {column.name: column.name for column in table.columns}
    if table.dialect.header is None:
        names[key.name] = event_key
        draft.columns[side] = tuple(names[column.name] for column in table.columns)
    elif key.name != event_key:
        raise ConfigError(
            f"{table.sample.names}: calls the {role} id {key.name!r}, {events.sample.names} calls it {event_key!r}; "
            "tables are joined by one name: rename it in one of the headers"
        )
    rest = [column for column in table.columns if column is not key]
    _add_columns(draft, role, rest, table, names, key.distinct)


def _add_columns(
    draft: Draft, role: Role, columns: list[Column], table: Table, names: dict[str, str], entities: int
) -> None:
    """The features among some columns that describe one role."""
    flags = flag_columns(columns)
    for column in columns:
        if column in flags:
            continue
        has_title = any(line.value["kind"] == "text" for line in draft.features.values())
        guess = guess_kind(column, table.dialect.delimiter, entities, may_be_title=role == "item" and not has_title)
        _add_guess(draft, role, names[column.name], guess)
    if flags:
        guess = guess_flags([Column(names[column.name], column.cells) for column in flags])
        assert guess.settings is not None
        _add(draft, _free("flags", draft.features), {"role": role, **guess.settings}, guess.why)


def _add_guess(draft: Draft, role: Role, column: str, guess: Guess) -> None:
    if guess.settings is None:
        draft.unused.append(f"{column!r} of {role}: {guess.why}")
    else:
        _add(draft, column, {"role": role, **guess.settings}, guess.why)


def _add_event_features(draft: Draft, events: Table, roles: Roles, names: dict[str, str], used: set[str]) -> None:
    """Columns of the events that are the same for each item, or each user, describe it; the rest is context."""
    by_role: dict[Role, list[Column]] = {"user": [], "item": [], "context": []}
    doubts = []
    for column in events.columns:
        if names[column.name] in used:
            continue
        is_of_item = _depends(column, roles.item.column)
        is_of_user = _depends(column, roles.user.column)
        role: Role = "context"
        if is_of_item != is_of_user:
            role = "item" if is_of_item else "user"
        elif is_of_item:
            doubts += [column.name] if column.distinct > 1 else []
        by_role[role].append(column)
    entities = {"user": roles.user.column.distinct, "item": roles.item.column.distinct, "context": events.rows}
    for role, columns in by_role.items():
        _add_columns(draft, role, columns, events, names, entities[role])
    for name in doubts:
        draft.notes.append(f"unsure: {name!r} never changes for one user nor for one item; taken for context")


def _depends(column: Column, key: Column) -> bool:
    """Whether the column is a function of the key: hardly any key that comes again has a second value."""
    values: dict[str, set[str]] = {}
    rows: dict[str, int] = {}
    for of, cell in zip(key.cells, column.cells, strict=True):
        values.setdefault(of, set()).add(cell)
        rows[of] = rows.get(of, 0) + 1
    again = [of for of, count in rows.items() if count > 1]
    return len(again) >= 5 and sum(len(values[of]) > 1 for of in again) <= 0.01 * len(again)


def _add_time_and_split(draft: Draft, roles: Roles, names: dict[str, str]) -> None:
    if roles.time is None:
        draft.split = Line({"strategy": "random"}, "there is no time to cut at; the order of the files is taken for it")
        return
    column = roles.time.column
    draft.timestamp = Line({"column": names[column.name], **roles.time.settings}, roles.time.why)
    if too_few_times(column):
        why = f"unsure: only {column.distinct} distinct times in the sample; with more, take strategy: temporal"
        draft.split = Line({"strategy": "random"}, why)
    else:
        draft.split = Line({"strategy": "temporal"}, "the last 20 % of the events validate and test; leaks no future")
