"""Questions and answers as TF Serving's REST paths and JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np

from serving.client.model_name import ModelName
from serving.client.questions import AskMetadata, AskStatus, ServerQuestion
from serving.client.results import ModelMetadata, Prediction, VersionState
from serving.client.signature import Array, InputSpec, Signature, numpy_dtype
from tfrec.errors import ConfigError

_BASE64 = "b64"
_CODES: dict[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.ABORTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def request_of(question: ServerQuestion) -> tuple[str, str, bytes | None]:
    """Return the method, path and body of a question.

    A prediction names the version that its inputs were made for: the answer would not say which one gave it.
    """
    if isinstance(question, AskMetadata):
        return "GET", f"{_path(question.model)}/metadata", None
    if isinstance(question, AskStatus):
        return "GET", _path(question.model), None
    path = f"/v1/models/{question.model.name}/versions/{question.known_version}:predict"
    inputs = {name: array.tolist() for name, array in question.inputs.items()}
    body = json.dumps({"signature_name": question.signature, "inputs": inputs}, default=_as_base64)
    return "POST", path, body.encode()


def read_json(body: bytes) -> Any:
    """Return the document of an answer, bytes for what stands there as base64. Raises ValueError where it is none."""
    return json.loads(body, object_hook=_from_base64)


def answer_of(question: ServerQuestion, body: Mapping[str, Any]) -> Any:
    """Return what the server's JSON says. Raises KeyError, TypeError or ValueError where it is none of TF Serving's."""
    if isinstance(question, AskMetadata):
        version = int(body["model_spec"]["version"])
        definitions = body["metadata"]["signature_def"]["signature_def"]
        return ModelMetadata(question.model.text, version, {n: _signature(d) for n, d in definitions.items()})
    if isinstance(question, AskStatus):
        return [
            VersionState(int(one["version"]), str(one["state"]), str(one.get("status", {}).get("error_message", "")))
            for one in body["model_version_status"]
        ]
    found = body["outputs"]
    # A single output comes without its name.
    outputs = found if isinstance(found, dict) else {question.output_names[0]: found}
    return Prediction({name: _array(values) for name, values in outputs.items()}, question.known_version)


def error_code(status: int) -> grpc.StatusCode:
    """The gRPC code that a status of HTTP stands for."""
    return _CODES.get(status, grpc.StatusCode.UNKNOWN)


def _as_base64(value: Any) -> dict[str, str]:
    """TF Serving's form of bytes; text goes as it is."""
    if not isinstance(value, bytes):
        raise ConfigError(f"inputs: got a {type(value).__name__}; JSON takes numbers, booleans, text and bytes")
    return {_BASE64: base64.b64encode(value).decode()}


def _from_base64(members: dict[str, Any]) -> Any:
    content = members.get(_BASE64)
    return base64.b64decode(content) if len(members) == 1 and isinstance(content, str) else members


def _path(model: ModelName) -> str:
    version = "" if model.version is None else f"/versions/{model.version}"
    label = "" if model.label is None else f"/labels/{model.label}"
    return f"/v1/models/{model.name}{version}{label}"


def _array(values: Any) -> Array:
    """Text stays an object array: fixed-width text would lose what ends in a null character."""
    array = np.array(values)
    return np.array(values, dtype=object) if array.dtype.kind in "USO" else array


def _signature(definition: Mapping[str, Any]) -> Signature:
    inputs = {
        name: InputSpec(numpy_dtype(info["dtype"]), len(info.get("tensor_shape", {}).get("dim", [])))
        for name, info in definition.get("inputs", {}).items()
    }
    defaults = {name: _default(proto) for name, proto in definition.get("defaults", {}).items()}
    return Signature(inputs, defaults, tuple(definition.get("outputs", {})))


def _default(proto: Mapping[str, Any]) -> Array:
    """The array of a TensorProto in JSON: raw bytes, or values of which the last fills the rest."""
    dtype = numpy_dtype(proto["dtype"]) or np.dtype(object)
    shape = [int(dim.get("size", 0)) for dim in proto.get("tensor_shape", {}).get("dim", [])]
    size = int(np.prod(shape, dtype=np.int64))
    content = base64.b64decode(proto.get("tensor_content", ""))
    if content and not dtype.hasobject:
        return np.frombuffer(content, dtype).reshape(shape)
    fields = (values for name, values in proto.items() if name.endswith("_val") and values)
    values = list(next(fields, [""] if dtype.hasobject else [0]))
    if dtype.hasobject:
        values = [base64.b64decode(value).decode() for value in values]
    filled = np.full(size, values[-1], dtype=dtype)
    filled[: len(values)] = values
    return filled.reshape(shape)
