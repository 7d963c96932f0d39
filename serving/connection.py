"""A connection to one model server: calls with deadlines, and what the server's models look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.errors import ServingError
from serving.results import ModelMetadata, VersionState
from tfrec.errors import ConfigError

_CHANNEL_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
# What a server answers when a request was made for the signature of an older version.
_MISFIT_CODES = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)

MakeInputs = Callable[[Any], Mapping[str, Any]]


class Connection:
    """Synchronous calls to one server; safe to share between threads. Every call has a deadline.

    All methods raise ServingError when the server can't be reached, or answers with an error.
    """

    def __init__(self, target: str, timeout_seconds: float = 1.0) -> None:
        if not timeout_seconds > 0:
            raise ConfigError(f"timeout_seconds: got {timeout_seconds:g}; allowed: above 0")
        self.target = target
        self._timeout_seconds = timeout_seconds
        self._channel = grpc.insecure_channel(target, options=_CHANNEL_OPTIONS)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._metadata: dict[str, ModelMetadata] = {}

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def metadata(self, model: str) -> ModelMetadata:
        """Return the model's signatures; asked for once, and again when another version has answered."""
        known = self._metadata.get(model)
        if known is not None:
            return known
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = model
        response = self._call(self._prediction.GetModelMetadata, request, f"metadata of model {model!r}")
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        metadata = ModelMetadata(model, response.model_spec.version.value, dict(signatures.signature_def))
        self._metadata[model] = metadata
        return metadata

    def status(self, model: str) -> list[VersionState]:
        """Return the states of the model's versions, highest version first."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        response = self._call(self._models.GetModelStatus, request, f"status of model {model!r}")
        state_name = get_model_status_pb2.ModelVersionStatus.State.Name
        return [
            VersionState(entry.version, state_name(entry.state), entry.status.error_message)
            for entry in response.model_version_status
        ]

    def predict(self, model: str, signature: str, make_inputs: MakeInputs) -> predict_pb2.PredictResponse:
        """Run `signature` on the tensors that `make_inputs` makes for its SignatureDef.

        The server may have gone over to a version with other inputs since the metadata was read: a call that
        does not fit is made once more if it has. Raises ConfigError for a signature that the model doesn't
        have.
        """
        known = self.metadata(model)
        try:
            response = self._predict(known, signature, make_inputs)
        except (ServingError, ConfigError) as error:
            if isinstance(error, ServingError) and error.code not in _MISFIT_CODES:
                raise
            self._metadata.pop(model, None)
            present = self.metadata(model)
            if present.version == known.version:
                raise
            return self._predict(present, signature, make_inputs)
        if response.model_spec.version.value != known.version:
            self._metadata.pop(model, None)
        return response

    def _predict(self, metadata: ModelMetadata, signature: str, make_inputs: MakeInputs) -> predict_pb2.PredictResponse:
        definition = metadata.signatures.get(signature)
        if definition is None:
            raise ConfigError(
                f"model {metadata.model!r} at {self.target} has no signature {signature!r}; "
                f"it has: {', '.join(sorted(metadata.signatures))}"
            )
        request = predict_pb2.PredictRequest()
        request.model_spec.name = metadata.model
        request.model_spec.signature_name = signature
        for name, tensor in make_inputs(definition).items():
            request.inputs[name].CopyFrom(tensor)
        return self._call(self._prediction.Predict, request, f"{signature} of model {metadata.model!r}")

    def _call(self, method: Callable[..., Any], request: Any, asked: str) -> Any:
        try:
            return method(request, timeout=self._timeout_seconds)
        except grpc.RpcError as error:
            raise ServingError.from_rpc(error, asked, self.target, self._timeout_seconds) from error
