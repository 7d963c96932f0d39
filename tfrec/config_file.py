"""Strict YAML → frozen Pydantic objects, with errors that name the file, the line and the nearest right key."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tfrec.errors import ConfigError, did_you_mean


class Config(BaseModel):
    """Base of every configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


C = TypeVar("C", bound=Config)
Location = tuple[str | int, ...]


def load_config(path: str | Path, model: type[C], overrides: Sequence[str] = ()) -> C:
    """Read the YAML file `path` into `model`; `overrides` are `dotted.key=value` strings that win over the file.

    Raises:
        ConfigError: the file is absent or not YAML, a key is unknown or repeated, or a value is not allowed.

    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name an existing YAML file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text; name a YAML file, or save it as UTF-8") from None
    return parse_config(text, model, overrides, source=path.name)


def parse_config(text: str, model: type[C], overrides: Sequence[str] = (), *, source: str = "config") -> C:
    """As `load_config`, from a string; `source` is the name that errors show."""
    lines: dict[Location, int] = {}
    values = _read_yaml(text, lines, source)
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(f"{source}:1: a mapping of keys to values is needed, got {type(values).__name__}")
    for override in overrides:
        location, written = _apply_override(values, override)
        for known in [at for at in lines if at[: len(location)] == location]:
            del lines[known]  # what --set wrote has no line in the file
        for end in range(1, len(location)):
            lines.setdefault(location[:end], 0)
        lines |= {(*location, *at): 0 for at in written}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_describe(error, model, lines, source)) from None


def _read_yaml(text: str, lines: dict[Location, int], source: str) -> Any:
    """The values of a YAML text; `lines` gets the line of each."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _collect_lines(node, (), lines, source)
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        reason = error.problem or error.context
    except yaml.reader.ReaderError as error:
        line, reason = text.count("\n", 0, error.position) + 1, f"character #x{error.character:04x} is not allowed"
    except ValueError as error:  # such as a date of month 13; it comes without a place
        line, reason = 1, str(error)
    raise ConfigError(f"{source}:{line}: not valid YAML: {reason}")


def _collect_lines(node: yaml.Node, at: Location, lines: dict[Location, int], source: str) -> None:
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{source}:{key.start_mark.line + 1}: not valid YAML: a key must be a plain word")
            if key.value in seen:
                raise ConfigError(f"{source}:{key.start_mark.line + 1}: key {key.value!r} stands twice; keep one")
            seen.add(key.value)
            lines[(*at, key.value)] = key.start_mark.line + 1
            _collect_lines(value, (*at, key.value), lines, source)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _collect_lines(value, (*at, index), lines, source)


def _apply_override(values: dict[str, Any], override: str) -> tuple[Location, list[Location]]:
    """Write one override into `values`; return its place and the places below it that it fills."""
    key, equals, raw = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override!r}: expected key=value, for example --set train.epochs=5")
    parts = key.strip().split(".")
    target = values
    for part in parts[:-1]:
        inner = target.get(part)
        if not isinstance(inner, dict):
            inner = {}
            target[part] = inner
        target = inner
    written: dict[Location, int] = {(): 0}
    try:
        target[parts[-1]] = _read_yaml(raw, written, "--set")
    except ConfigError:
        raise ConfigError(f"--set {override!r}: the value is not valid YAML") from None
    return tuple(parts), list(written)


def _describe(error: ValidationError, model: type[BaseModel], lines: dict[Location, int], source: str) -> str:
    # A misspelt key also makes the right one missing: name the misspelt one.
    found = sorted(error.errors(include_url=False), key=lambda item: item["type"] != "extra_forbidden")
    first = found[0]
    is_about_key = first["type"] in ("extra_forbidden", "missing")
    location = _in_file(first["loc"], lines, keep_last=is_about_key)
    line = next((lines[location[:n]] for n in range(len(location), -1, -1) if location[:n] in lines), 1)
    where = f"{source}:{line}" if line else "--set"
    inside = ".".join(str(part) for part in location[:-1])
    name = ".".join(map(str, location))
    place = f" in '{inside}'" if inside else ""
    if first["type"] == "extra_forbidden":
        key = str(location[-1])
        message = f"unknown key {key!r}{place}{did_you_mean(key, _allowed_keys(model, first['loc'][:-1]))}"
    elif first["type"] == "missing":
        message = f"key {str(location[-1])!r} is missing{place}; add it"
    elif first["type"] == "value_error":
        message = f"{name + ': ' if name else ''}{first['ctx']['error']}"
    elif first["type"] == "union_tag_invalid":
        tag = first["ctx"]["tag"]
        allowed = first["ctx"]["expected_tags"].replace("'", "").split(", ")
        key = first["ctx"]["discriminator"].strip("'")
        message = f"{name}: unknown {key} {tag!r}{did_you_mean(tag, allowed)}"
        message += f" (allowed: {', '.join(allowed)})" if "did you mean" in message else ""
    elif first["type"] == "union_tag_not_found":
        message = f"{name}: key {first['ctx']['discriminator']} is missing; add it"
    else:
        message = f"{name}: got {first['input']!r}; {first['msg'][0].lower()}{first['msg'][1:]}"
    more = f" (and {len(found) - 1} more error{'s' if len(found) > 2 else ''})" if len(found) > 1 else ""
    return f"{where}: {message}{more}"


def _in_file(location: tuple[int | str, ...], lines: dict[Location, int], *, keep_last: bool) -> Location:
    """Leave out what Pydantic adds to a location, the chosen member of a union, which the file has no key for."""
    kept: Location = ()
    for index, part in enumerate(location):
        if (*kept, part) in lines or (keep_last and index == len(location) - 1):
            kept = (*kept, part)
    return kept


def _allowed_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of whichever model stands at `location` below `model`."""
    current: Any = model
    for part in location:
        current = _step(current, part)
        if current is None:
            return []
    models = _models_in(current)
    return sorted({name for found in models for name in found.model_fields})


def _step(annotation: Any, part: str | int) -> Any:
    for found in _models_in(annotation):
        if part in found.model_fields:
            return found.model_fields[str(part)].annotation
        tags = [f.default for f in found.model_fields.values() if isinstance(f.default, str)]
        if part in tags:
            return found
    arguments = typing.get_args(annotation)
    return arguments[-1] if arguments else None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        return [found for argument in typing.get_args(annotation) for found in _models_in(argument)]
    return []
