"""The paths of TF Serving's REST interface: which model, which version, what is asked of it."""

from __future__ import annotations

import dataclasses
import re
from urllib.parse import unquote

from tensorflow_serving.apis import model_pb2

from serving.server.status import invalid_argument

_VERSION = r"(?:(?:/versions/(?P<version>[0-9]+))|(?:/labels/(?P<label>[^/:]+)))?"
_ASK = re.compile(rf"(?i)/v1/models/(?P<model>[^/:]+){_VERSION}:(?P<what>classify|regress|predict)")
_LOOK = re.compile(rf"(?i)/v1/models(?:/(?P<model>[^/:]+))?{_VERSION}(?:/(?P<what>metadata))?")
_LARGEST_VERSION = 2**63 - 1
STATUS = "status"


@dataclasses.dataclass(frozen=True)
class Route:
    """`what` is classify, regress, predict, metadata or status, of the model version that `spec` names."""

    what: str
    spec: model_pb2.ModelSpec


def is_rest_path(path: str) -> bool:
    """Tell whether a path is one of this interface, well-formed or not."""
    return path[:4].lower() == "/v1/"


def route(method: str, path: str) -> Route:
    """Return what a request asks for. `path` is as it came, with its percent signs; raises StatusError for others."""
    match = {"POST": _ASK, "GET": _LOOK}.get(method, re.compile(r"(?!)")).fullmatch(path)
    if match is None:
        raise invalid_argument(f"Malformed request: {method} {path}")
    spec = model_pb2.ModelSpec(name=_decoded(match["model"] or ""))
    if match["version"]:
        # By its length first: a number of a million digits takes long to read.
        digits = match["version"].lstrip("0") or "0"
        if len(digits) > len(str(_LARGEST_VERSION)) or int(digits) > _LARGEST_VERSION:
            raise invalid_argument(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(digits)
    elif match["label"]:
        spec.version_label = _decoded(match["label"])
    if method == "GET" and not spec.name:
        raise invalid_argument("Missing model name in request.")
    return Route((match["what"] or STATUS).lower(), spec)


def _decoded(text: str) -> str:
    return unquote(text, errors="replace")
