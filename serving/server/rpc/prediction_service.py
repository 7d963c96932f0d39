"""PredictionService: answers about single requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.server.calls.inference import Inference
from serving.server.options import GrpcOptions
from serving.server.rpc.answers import ends_with_status, seconds_left
from serving.server.rpc.turns import Turns
from serving.server.rpc.unread import UnreadAnswers

SERVICE = "tensorflow.serving.PredictionService"
ENTRYPOINT = "GRPC"

_Response = TypeVar("_Response")


def add_prediction_service(service: PredictionService, server: grpc.Server) -> None:
    """Let `server` answer PredictionService's calls."""
    # The first handler that knows a method is the one that is asked. This one leaves the answer's bytes as they are.
    predict = grpc.unary_unary_rpc_method_handler(
        service.Predict, request_deserializer=predict_pb2.PredictRequest.FromString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Predict": predict}),))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """The methods of `Inference` over gRPC; Predict answers with raw `tensor_content` where `as_content` is set."""

    def __init__(self, inference: Inference, options: GrpcOptions, *, as_content: bool) -> None:
        self._inference = inference
        self._as_content = as_content
        self._turns = Turns(options.max_threads)
        self._unread = UnreadAnswers(options.max_unread_bytes)

    @ends_with_status
    def Predict(  # noqa: N802
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> bytes:
        """Run one signature on the request's tensors; return a PredictResponse's bytes."""
        with self._turns:
            prediction = self._inference.predict(request, seconds_left(context), ENTRYPOINT)
            answer = prediction.serialized(as_content=self._as_content)
        self._unread.add(len(answer), context)
        return answer

    @ends_with_status
    def Classify(  # noqa: N802
        self, request: classification_pb2.ClassificationRequest, context: grpc.ServicerContext
    ) -> classification_pb2.ClassificationResponse:
        """Run one signature on the request's examples, and return labels and scores."""
        return self._answer(self._inference.classify, request, context)

    @ends_with_status
    def Regress(  # noqa: N802
        self, request: regression_pb2.RegressionRequest, context: grpc.ServicerContext
    ) -> regression_pb2.RegressionResponse:
        """Run one signature on the request's examples, and return one number each."""
        return self._answer(self._inference.regress, request, context)

    @ends_with_status
    def MultiInference(  # noqa: N802
        self, request: inference_pb2.MultiInferenceRequest, context: grpc.ServicerContext
    ) -> inference_pb2.MultiInferenceResponse:
        """Run several signatures of one model on the request's examples."""
        return self._answer(self._inference.multi_inference, request, context)

    @ends_with_status
    def GetModelMetadata(  # noqa: N802
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Return a model's SignatureDefs."""
        response = self._inference.metadata(request)
        self._unread.add(response.ByteSize(), context)
        return response

    def _answer(self, method: Callable[..., _Response], request: Any, context: grpc.ServicerContext) -> _Response:
        with self._turns:
            response = method(request, seconds_left(context), ENTRYPOINT)
        self._unread.add(response.ByteSize(), context)  # type: ignore[attr-defined]
        return response
