"""Questions and answers as TF Serving's protos."""

from __future__ import annotations

from typing import Any

import grpc
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving import tensors
from serving.client.deadline import Deadline
from serving.client.errors import ServingError
from serving.client.model_name import ModelName
from serving.client.questions import AskMetadata, AskPrediction, AskStatus, ServerQuestion
from serving.client.results import ModelMetadata, Prediction, VersionState
from serving.client.signature import InputSpec, Signature, numpy_dtype


class Stubs:
    """The methods of a server behind `channel`, blocking or asyncio, by the question they answer."""

    def __init__(self, channel: Any) -> None:
        prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        models = model_service_pb2_grpc.ModelServiceStub(channel)
        self._methods: dict[type, Any] = {
            AskMetadata: prediction.GetModelMetadata,
            AskPrediction: prediction.Predict,
            AskStatus: models.GetModelStatus,
        }

    def method(self, question: ServerQuestion) -> Any:
        """What to call with `request_of(question)`."""
        return self._methods[type(question)]


def request_of(question: ServerQuestion) -> Any:
    """The proto of a question."""
    if isinstance(question, AskMetadata):
        metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        _name(metadata.model_spec, question.model)
        return metadata
    if isinstance(question, AskStatus):
        status = get_model_status_pb2.GetModelStatusRequest()
        _name(status.model_spec, question.model)
        return status
    request = predict_pb2.PredictRequest()
    _name(request.model_spec, question.model)
    request.model_spec.signature_name = question.signature
    for name, array in question.inputs.items():
        request.inputs[name].CopyFrom(tensors.encode(array))
    return request


def answer_of(question: ServerQuestion, response: Any) -> Any:
    """What the server's proto says."""
    if isinstance(question, AskMetadata):
        return _metadata(question.model.text, response)
    if isinstance(question, AskStatus):
        state_name = get_model_status_pb2.ModelVersionStatus.State.Name
        return [
            VersionState(entry.version, state_name(entry.state), entry.status.error_message)
            for entry in response.model_version_status
        ]
    outputs = {name: tensors.decode(proto) for name, proto in response.outputs.items()}
    return Prediction(outputs, response.model_spec.version.value)


def error_of(error: grpc.RpcError, question: ServerQuestion, target: str, deadline: Deadline) -> ServingError:
    """What a failed call says."""
    return ServingError.of_answer(error.code(), error.details() or "", question.asked, target, deadline.timeout_seconds)


def _name(spec: Any, model: ModelName) -> None:
    spec.name = model.name
    if model.version is not None:
        spec.version.value = model.version
    if model.label is not None:
        spec.version_label = model.label


def _metadata(model: str, response: Any) -> ModelMetadata:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    found = {name: _signature(definition) for name, definition in signatures.signature_def.items()}
    return ModelMetadata(model, response.model_spec.version.value, found)


def _signature(definition: Any) -> Signature:
    inputs = {
        name: InputSpec(numpy_dtype(types_pb2.DataType.Name(info.dtype)), len(info.tensor_shape.dim))
        for name, info in definition.inputs.items()
    }
    defaults = {name: tensors.decode(proto) for name, proto in definition.defaults.items()}
    return Signature(inputs, defaults, tuple(definition.outputs))
