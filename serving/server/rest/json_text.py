"""JSON in and out: a document from bytes that anybody may have sent, values as TF Serving writes them."""

from __future__ import annotations

import itertools
import json
from typing import Any

from serving.server.status import StatusError, invalid_argument

MAX_SHOWN_CHARS = 1000
_ENCODER = json.JSONEncoder(indent=4, ensure_ascii=False)


def parse_document(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a request's body. Raises StatusError for anything else."""
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        document = json.loads(body.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise invalid_argument(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except UnicodeDecodeError as error:
        raise invalid_argument(f"JSON Parse error: Invalid encoding in string. at offset: {error.start}") from None
    except RecursionError:
        raise invalid_argument("JSON Parse error: nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise invalid_argument(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise format_error(document, "Is not object")
    return document


def dumps_error(message: str) -> str:
    """Return the body of an answer that is an error."""
    return json.dumps({"error": message}, indent=4)


def format_error(value: Any, problem: str) -> StatusError:
    """Return the error of a value that is not what is expected."""
    return invalid_argument(f"JSON Value: {shown(value)} {problem}")


def shown(value: Any) -> str:
    """Return a value as indented JSON for a message; only the beginning of a large one."""
    text = ""
    for part in itertools.islice(_ENCODER.iterencode(value), MAX_SHOWN_CHARS):
        text += part[: MAX_SHOWN_CHARS - len(text)]
        if len(text) >= MAX_SHOWN_CHARS:
            break
    return text


def type_name(value: Any) -> str:
    """Return the JSON type of a value, by TF Serving's name for it."""
    if isinstance(value, bool):
        return str(value)
    names: dict[type, str] = {type(None): "Null", dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")
