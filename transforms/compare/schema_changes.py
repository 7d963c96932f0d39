"""What a schema has that another has not, in words."""

from __future__ import annotations

from tfrec.schema import Schema

Keys = dict[str, object]


def schema_changes(a: Schema, b: Schema) -> tuple[str, ...]:
    """One line for each feature, cross or target added or removed and each key that differs; none if the fingerprints
    agree.

    Returns:
        Lines such as `feature 'age' removed` and `feature 'age': kind numeric → categorical`.

    """
    changes: list[str] = []
    for what, part in (("feature", "features"), ("cross", "crosses"), ("target", "targets")):
        old, new = ({n: of.model_dump(mode="json") for n, of in getattr(schema, part).items()} for schema in (a, b))
        changes += _named_changes(what, old, new)
    if a.kept_negatives != b.kept_negatives:
        changes.append(f"kept_negatives: {a.kept_negatives or 'all'} → {b.kept_negatives or 'all'}")
    for part in ("label", "timestamp", "split"):
        old, new = (getattr(schema, part) for schema in (a, b))
        old, new = ({} if of is None else of.model_dump(mode="json") for of in (old, new))
        changes += [f"{part}: {change}" for change in _differences(old, new)]
    return tuple(changes)


def _named_changes(what: str, old: dict[str, Keys], new: dict[str, Keys]) -> list[str]:
    changes = [f"{what} {name!r} removed" for name in old if name not in new]
    changes += [f"{what} {name!r} added" for name in new if name not in old]
    for name in (name for name in old if name in new):
        before, after = old[name], new[name]
        if before.get("kind") != after.get("kind"):  # the other keys belong to the kind
            before, after = ({key: of[key] for key in ("kind", "role")} for of in (before, after))
        changes += [f"{what} {name!r}: {change}" for change in _differences(before, after)]
    return changes


def _differences(old: Keys, new: Keys) -> list[str]:
    keys = [*old, *(key for key in new if key not in old)]
    return [
        f"{key} {_shown(old, key)} → {_shown(new, key)}"
        for key in keys
        if old.get(key) != new.get(key) or (key in old) != (key in new)
    ]


def _shown(values: Keys, key: str) -> str:
    return "absent" if key not in values else "none" if values[key] is None else str(values[key])
