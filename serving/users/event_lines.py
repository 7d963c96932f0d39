"""Events as lines of JSON: what other programs append to a store by."""

from __future__ import annotations

import json
from typing import Any

from serving.client.ids import id_text
from serving.users.event import Event
from tfrec.errors import ConfigError, DataError, did_you_mean

_REQUIRED = ("user", "item")
_KEYS = (*_REQUIRED, "time_ms", "label", "values")


def event_of(line: str) -> tuple[str, Event]:
    """The user and the event of a line such as `{"user": "42", "item": "181", "label": 5}`.

    Raises:
        DataError: it is no such line.

    """
    try:
        content = json.loads(line)
    except ValueError as error:
        raise DataError(f"is no JSON ({error}); {_example()}") from None
    if not isinstance(content, dict):
        raise DataError(f"got a {type(content).__name__}; {_example()}")
    for key in content:
        if key not in _KEYS:
            raise DataError(f"unknown key {key!r}{did_you_mean(key, _KEYS)}")
    for key in _REQUIRED:
        if key not in content:
            raise DataError(f"has no {key!r}; {_example()}")
    try:
        user, item = (id_text(content.pop(key)) for key in _REQUIRED)
    except ConfigError as error:
        raise DataError(str(error)) from None
    _check("time_ms", content, _is_whole, "milliseconds since 1970 in UTC, as a whole number")
    _check("label", content, lambda value: value is None or isinstance(value, str | int | float), "a number or text")
    _check("values", content, _is_texts, "an object of texts, by the names of their features")
    return user, Event(item, **content)


def _check(key: str, content: dict[str, Any], is_right: Any, expected: str) -> None:
    if key in content and not is_right(content[key]):
        raise DataError(f"{key}: got {content[key]!r}; expected {expected}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _example() -> str:
    return 'expected {"user": "42", "item": "181"}, and time_ms, label and values as the dataset has them'
