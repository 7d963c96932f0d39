"""Answers as JSON, with numbers written as TF Serving writes them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2, regression_pb2

from serving.server.calls.inference import SIGNATURE_DEF
from serving.server.status import invalid_argument
from serving.tensors import Array

_BYTES_SUFFIX = "_bytes"
# Digits with which every number of the type comes back as itself.
_DIGITS = {np.dtype(np.float32): 9, np.dtype(np.float64): 17}


def rows_json(outputs: Mapping[str, Array]) -> str:
    """Return `{"predictions": […]}`: one value, or one object of values, per row."""
    arrays = _in_order(outputs)
    num_rows = -1
    for name, array in arrays.items():
        if array.ndim == 0:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if num_rows not in (-1, len(array)):
            raise invalid_argument(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {num_rows}"
            )
        num_rows = len(array)
    columns = {name: _rows(name, array) for name, array in arrays.items()}
    if len(columns) == 1:
        rows = next(iter(columns.values()))
    else:
        keys = {name: json.dumps(name, ensure_ascii=False) for name in columns}
        rows = [
            "{" + ", ".join(f"{keys[name]}: {column[i]}" for name, column in columns.items()) + "}"
            for i in range(num_rows)
        ]
    return '{\n    "predictions": [' + ", ".join(rows) + "\n    ]\n}"


def columns_json(outputs: Mapping[str, Array]) -> str:
    """Return `{"outputs": …}`: one tensor, or one object of tensors."""
    columns = {name: _whole(name, array) for name, array in _in_order(outputs).items()}
    if len(columns) == 1:
        return '{\n    "outputs": ' + next(iter(columns.values())) + "\n}"
    lines = [f"        {json.dumps(name, ensure_ascii=False)}: {column}" for name, column in columns.items()]
    return '{\n    "outputs": {\n' + ",\n".join(lines) + "\n    }\n}"


def classifications_json(result: classification_pb2.ClassificationResult) -> str:
    """Return `{"results": [[[label, score], …], …]}`."""
    if not result.classifications:
        raise invalid_argument("Cannot convert empty ClassificationResults to JSON")
    rows = []
    for row in result.classifications:
        scores = _numbers(np.array([entry.score for entry in row.classes], dtype=np.float32))
        labels = [json.dumps(entry.label, ensure_ascii=False) for entry in row.classes]
        rows.append("[" + ", ".join(f"[{label}, {score}]" for label, score in zip(labels, scores, strict=True)) + "]")
    return '{\n    "results": [' + ", ".join(rows) + "\n    ]\n}"


def regressions_json(result: regression_pb2.RegressionResult) -> str:
    """Return `{"results": [value, …]}`."""
    if not result.regressions:
        raise invalid_argument("Cannot convert empty RegressionResults to JSON")
    values = _numbers(np.array([entry.value for entry in result.regressions], dtype=np.float32))
    return '{\n    "results": [' + ", ".join(values) + "]\n}"


def message_json(message: Message) -> str:
    """Return a message with the names of its fields, unset ones too."""
    return json.dumps(_as_dict(message), indent=1, ensure_ascii=False) + "\n"


def metadata_json(response: get_model_metadata_pb2.GetModelMetadataResponse) -> str:
    """Return a model's SignatureDefs with the version that they belong to."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata[SIGNATURE_DEF].Unpack(signatures)
    metadata = {SIGNATURE_DEF: _as_dict(signatures)}
    return json.dumps({"model_spec": _as_dict(response.model_spec), "metadata": metadata}, indent=1) + "\n"


def _as_dict(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _in_order(outputs: Mapping[str, Array]) -> dict[str, Array]:
    if not outputs:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    return {name: outputs[name] for name in sorted(outputs)}


def _rows(name: str, array: Array) -> list[str]:
    """Return the JSON text of each row."""
    if array.size == 0:
        return [json.dumps(row) for row in array.tolist()]
    return _grouped(_texts(name, array), array.shape[1:])


def _whole(name: str, array: Array) -> str:
    """Return the JSON text of an array."""
    return json.dumps(array.tolist()) if array.size == 0 else _grouped(_texts(name, array), array.shape)[0]


def _grouped(texts: list[str], shape: Sequence[int]) -> list[str]:
    """Return elements' texts joined to those of lists of that shape."""
    for size in reversed(shape):
        texts = ["[" + ", ".join(texts[i : i + size]) + "]" for i in range(0, len(texts), size)]
    return texts


def _texts(name: str, array: Array) -> list[str]:
    """Return the JSON text of each element."""
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if array.dtype in _DIGITS:
        return _numbers(array.ravel())
    values = array.ravel().tolist()
    if array.dtype.hasobject:
        if name.endswith(_BYTES_SUFFIX):
            return [json.dumps({"b64": base64.b64encode(value).decode()}) for value in values]
        return [json.dumps(value.decode(errors="replace"), ensure_ascii=False) for value in values]
    if array.dtype.kind in "iub":
        return [json.dumps(value) for value in values]
    raise invalid_argument(f"Failed to write JSON value for tensor type: {array.dtype}")


def _numbers(array: Array) -> list[str]:
    """Return floats in six digits where that is exact, else in as many as the type has, always as decimals."""
    values = array.tolist()
    short = [f"{value:.6g}" for value in values]
    is_exact = np.array([float(text) for text in short], dtype=array.dtype) == array
    digits = _DIGITS[array.dtype]
    return [
        _decimal(text if exact else f"{value:.{digits}g}")
        for value, text, exact in zip(values, short, is_exact.tolist(), strict=True)
    ]


def _decimal(text: str) -> str:
    match text:
        case "nan":
            return "NaN"
        case "inf":
            return "Infinity"
        case "-inf":
            return "-Infinity"
        case _:
            return text if "." in text or "e" in text else text + ".0"
