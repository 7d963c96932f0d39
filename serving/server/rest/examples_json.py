"""A JSON body to a Classify or Regress request: examples as objects of features."""

from __future__ import annotations

from typing import Any

from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import model_pb2

from serving.server.rest.json_text import format_error, parse_document, type_name
from serving.server.rest.json_values import decode_base64, encode_text, is_base64, lossless_float
from serving.server.rest.predict_json import fill_signature_name
from serving.server.status import StatusError, invalid_argument

CONTEXT, EXAMPLES = "context", "examples"
_INT64 = range(-(2**63), 2**63)
_UINT64_END = 2**64
_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def fill_examples_request(body: bytes, spec: model_pb2.ModelSpec, request: Any) -> None:
    """Fill a ClassificationRequest or RegressionRequest from `body`.

    Raises StatusError with TF Serving's words for a body that does not fit.
    """
    document = parse_document(body)
    request.model_spec.CopyFrom(spec)
    fill_signature_name(document, request)
    if CONTEXT in document:
        into: Any = request.input.example_list_with_context
        into.context.CopyFrom(_example(document[CONTEXT]))
    else:
        into = request.input.example_list
    if EXAMPLES not in document:
        raise format_error(document, f"When method is classify, key '{EXAMPLES}' is expected and was not found")
    examples = document[EXAMPLES]
    if not isinstance(examples, list):
        raise format_error(document, f"Expecting '{EXAMPLES}' value to be an list/array")
    if not examples:
        raise format_error(document, f"'{EXAMPLES}' value is an empty array")
    for example in examples:
        into.examples.append(_example(example))


def _example(value: Any) -> example_pb2.Example:
    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {type_name(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        encode_text(name)
        feature = example.features.feature[name]
        for item in content if isinstance(content, list) else [content]:
            _add(item, name, feature)
    return example


def _add(value: Any, name: str, feature: feature_pb2.Feature) -> None:
    if isinstance(value, bool):
        _values(feature, "int64_list", name).append(int(value))
    elif isinstance(value, str):
        _values(feature, "bytes_list", name).append(encode_text(value))
    elif is_base64(value):
        _values(feature, "bytes_list", name).append(decode_base64(value))
    elif isinstance(value, int) and value in _INT64:
        _values(feature, "int64_list", name).append(value)
    elif isinstance(value, int) and 0 <= value < _UINT64_END:
        raise invalid_argument(f"Feature: {name} has uint64 element. Only int64 is supported.")
    elif isinstance(value, float | int):
        _values(feature, "float_list", name).append(lossless_float(value))
    else:
        raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")


def _values(feature: feature_pb2.Feature, kind: str, name: str) -> Any:
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        raise _mixed_kinds(name, present)
    return getattr(feature, kind).value


def _mixed_kinds(name: str, kind: str) -> StatusError:
    return invalid_argument(f"Unexpected element type in feature: {name} expecting type: {_KINDS[kind]}")
