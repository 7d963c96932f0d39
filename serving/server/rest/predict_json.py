"""A JSON body to a PredictRequest: `instances` are rows, `inputs` are columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import model_pb2, predict_pb2

from serving.server.rest.json_text import format_error, parse_document, shown
from serving.server.rest.json_values import Convert, encode_text, field_and_converter, is_base64
from serving.server.status import StatusError, invalid_argument

INSTANCES, INPUTS, SIGNATURE_NAME = "instances", "inputs", "signature_name"

Infos = Mapping[str, Any]
Shape = list[int]


def predict_request(
    body: bytes, spec: model_pb2.ModelSpec, infos_of: Callable[[model_pb2.ModelSpec], Infos]
) -> tuple[predict_pb2.PredictRequest, bool]:
    """Return the request in `body`, and whether it is one of rows.

    `infos_of` returns a signature's TensorInfo by input. Raises StatusError with TF Serving's words for a body that
    does not fit.
    """
    document = parse_document(body)
    request = predict_pb2.PredictRequest(model_spec=spec)
    fill_signature_name(document, request)
    infos = infos_of(request.model_spec)
    if not infos:
        name = request.model_spec.signature_name or "DEFAULT"
        raise invalid_argument(f"Failed to get input map for signature: {name}")
    if INSTANCES in document and INPUTS in document:
        raise format_error(
            document,
            f"Not formatted correctly expecting only one of '{INPUTS}' or '{INSTANCES}' keys to exist ",
        )
    if INSTANCES in document:
        instances = document[INSTANCES]
        if not isinstance(instances, list):
            raise format_error(document, f"Excepting '{INSTANCES}' to be an list/array")
        if not instances:
            raise format_error(document, f"No values in '{INSTANCES}' array")
        tensors = _tensors_of_rows(instances, infos)
    elif INPUTS in document:
        tensors = _tensors_of_columns(document[INPUTS], infos)
    else:
        raise invalid_argument(f"Missing '{INPUTS}' or '{INSTANCES}' key")
    for name, tensor in tensors.items():
        request.inputs[name].CopyFrom(tensor)
    return request, INSTANCES in document


def fill_signature_name(document: Mapping[str, Any], request: Any) -> None:
    """Set the signature that a document names, if it names one."""
    if SIGNATURE_NAME not in document:
        return
    name = document[SIGNATURE_NAME]
    if not isinstance(name, str):
        raise format_error(document, "not formatted correctly. 'signature_name' key must be a string value.")
    encode_text(name)
    request.model_spec.signature_name = name


class _Rows:
    """One input's values, row after row; all rows have the first one's shape."""

    def __init__(self, dtype: int) -> None:
        self.dtype = dtype
        self.field, self._convert = field_and_converter(dtype)
        self._shape: Shape | None = None
        self._row_size = 0
        self._values: list[Any] = []

    def add(self, item: Any) -> None:
        shape, start = dense_shape(item), len(self._values)
        fill(item, 0, shape, self._convert, self._values)
        size = len(self._values) - start
        if self._shape is None:
            self._shape, self._row_size = shape, size
        elif size != self._row_size:
            raise invalid_argument(f"Expecting tensor size: {self._row_size} but got: {size}")
        elif shape != self._shape:
            raise invalid_argument(f"Expecting shape {_shape_text(self._shape)} but got: {_shape_text(shape)}")

    def tensor(self, num_rows: int) -> tensor_pb2.TensorProto:
        return _tensor(self.dtype, self.field, [num_rows, *(self._shape or [])], self._values)


def _tensors_of_rows(instances: list[Any], infos: Infos) -> dict[str, tensor_pb2.TensorProto]:
    if not isinstance(instances[0], dict) and len(infos) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    are_objects = _is_object(instances[0])
    rows = {name: _Rows(info.dtype) for name, info in infos.items()}
    for i, instance in enumerate(instances):
        if are_objects:
            if not _is_object(instance):
                raise invalid_argument(f"Expecting object but got list at item {i} of input list")
            _add_object(i, instance, rows)
        else:
            if _is_object(instance):
                raise invalid_argument(f"Expecting value/list but got object at item {i} of input list")
            try:
                rows[next(iter(rows))].add(instance)
            except StatusError as error:
                raise invalid_argument(f"Failed to process element: {i} of 'instances' list. Error: {error}") from None
    return {name: row.tensor(len(instances)) for name, row in rows.items()}


def _add_object(i: int, instance: Mapping[str, Any], rows: Mapping[str, _Rows]) -> None:
    for name, item in instance.items():
        try:
            if name not in rows:
                raise invalid_argument(f"JSON object: does not have named input: {name}")
            rows[name].add(item)
        except StatusError as error:
            raise invalid_argument(
                f"Failed to process element: {i} key: {name} of 'instances' list. Error: {error}"
            ) from None
    if instance.keys() != rows.keys():
        raise invalid_argument(
            f"Failed to process element: {i} of 'instances' list. JSON object: {shown(instance)} keys must be equal "
            f"to: {','.join(sorted(rows))}"
        )


def _tensors_of_columns(value: Any, infos: Infos) -> dict[str, tensor_pb2.TensorProto]:
    if not _is_object(value):
        if len(infos) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        value = {next(iter(infos)): value}
    tensors = {}
    for name, info in infos.items():
        if name not in value:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
        field, convert = field_and_converter(info.dtype)
        shape, values = dense_shape(value[name]), list[Any]()
        fill(value[name], 0, shape, convert, values)
        tensors[name] = _tensor(info.dtype, field, shape, values)
    return tensors


def dense_shape(value: Any) -> Shape:
    """Return the shape that the first element of each list says."""
    shape: Shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def fill(value: Any, level: int, shape: Shape, convert: Convert, values: list[Any]) -> None:
    """Append the leaves of nested lists. Raises StatusError where these are not of that shape."""
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid_argument(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {rank}"
            )
        values.append(convert(value))
        return
    if level >= rank:
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        fill(item, level + 1, shape, convert, values)


def _tensor(dtype: int, field: str, shape: Shape, values: list[Any]) -> tensor_pb2.TensorProto:
    tensor = tensor_pb2.TensorProto(dtype=dtype)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    getattr(tensor, field).extend(values)
    return tensor


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _shape_text(shape: Shape) -> str:
    return "[" + ",".join(str(size) for size in shape) + "]"
