"""PredictionService: answers about single requests."""

from __future__ import annotations

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.model_manager import ModelManager
from serving.predict import predict
from serving.servable import NO_TIMEOUT
from serving.status import StatusError, ends_with_status, invalid_argument, unimplemented

SIGNATURE_DEF = "signature_def"
TIMED_OUT = "Timed out waiting for notification"
# gRPC reports a call without a deadline as one whose deadline is some 292 million years away.
_LONGEST_DEADLINE_SECONDS = 1e9


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata over a manager's models."""

    def __init__(self, manager: ModelManager, *, as_content: bool = False) -> None:
        self._manager = manager
        self._as_content = as_content

    @ends_with_status
    def Predict(  # noqa: N802
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        """Run one signature on the request's tensors."""
        _check_has_model_spec(request)
        with self._manager.lease(request.model_spec) as (servable, version):
            return predict(
                servable,
                version,
                request,
                timeout_seconds=_seconds_left(context),
                as_content=self._as_content,
            )

    @ends_with_status
    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Return a model's SignatureDefs."""
        _check_has_model_spec(request)
        if not request.metadata_field:
            raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise invalid_argument(f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with self._manager.lease(request.model_spec) as (servable, version):
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = version
            for name, signature in servable.signatures.items():
                signatures.signature_def[name].CopyFrom(signature.definition)
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response

    @ends_with_status
    def Classify(  # noqa: N802
        self, request: classification_pb2.ClassificationRequest, context: grpc.ServicerContext
    ) -> classification_pb2.ClassificationResponse:
        """Not answered yet."""
        raise unimplemented("Classify is not supported; use Predict")

    @ends_with_status
    def Regress(  # noqa: N802
        self, request: regression_pb2.RegressionRequest, context: grpc.ServicerContext
    ) -> regression_pb2.RegressionResponse:
        """Not answered yet."""
        raise unimplemented("Regress is not supported; use Predict")

    @ends_with_status
    def MultiInference(  # noqa: N802
        self, request: inference_pb2.MultiInferenceRequest, context: grpc.ServicerContext
    ) -> inference_pb2.MultiInferenceResponse:
        """Not answered yet."""
        raise unimplemented("MultiInference is not supported; use Predict")


def _check_has_model_spec(
    request: predict_pb2.PredictRequest | get_model_metadata_pb2.GetModelMetadataRequest,
) -> None:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")


def _seconds_left(context: grpc.ServicerContext) -> float:
    """Return the time to the call's deadline. Raises StatusError when it has passed while the call queued."""
    seconds = context.time_remaining()
    if seconds > _LONGEST_DEADLINE_SECONDS:
        return NO_TIMEOUT
    if seconds <= 0:
        raise StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, TIMED_OUT)
    return seconds
