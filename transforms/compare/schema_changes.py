"""What a schema has that another has not, in words."""

from __future__ import annotations

from tfrec.schema import Schema


def schema_changes(a: Schema, b: Schema) -> tuple[str, ...]:
    """One line for each feature added or removed and each key that differs; none if the fingerprints agree.

    Returns:
        Lines such as `feature 'age' removed` and `feature 'age': kind numeric → categorical`.

    """
    changes = [f"feature {name!r} removed" for name in a.features if name not in b.features]
    changes += [f"feature {name!r} added" for name in b.features if name not in a.features]
    for name in (name for name in a.features if name in b.features):
        old, new = (schema.features[name].model_dump(mode="json") for schema in (a, b))
        if old["kind"] != new["kind"]:  # the other keys belong to the kind
            old, new = ({key: of[key] for key in ("kind", "role")} for of in (old, new))
        changes += [f"feature {name!r}: {change}" for change in _differences(old, new)]
    for part in ("label", "timestamp", "split"):
        old, new = (getattr(schema, part) for schema in (a, b))
        old, new = ({} if of is None else of.model_dump(mode="json") for of in (old, new))
        changes += [f"{part}: {change}" for change in _differences(old, new)]
    return tuple(changes)


def _differences(old: dict[str, object], new: dict[str, object]) -> list[str]:
    keys = [*old, *(key for key in new if key not in old)]
    return [
        f"{key} {_shown(old, key)} → {_shown(new, key)}"
        for key in keys
        if old.get(key) != new.get(key) or (key in old) != (key in new)
    ]


def _shown(values: dict[str, object], key: str) -> str:
    return "absent" if key not in values else "none" if values[key] is None else str(values[key])
