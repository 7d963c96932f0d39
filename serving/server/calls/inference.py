"""Requests for inference, whichever way they came: which model answers, how long it took, how it ended."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any, TypeVar

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.server.calls import classify, regress
from serving.server.calls.examples import INPUTS, serialized_examples
from serving.server.calls.methods import find_signature
from serving.server.calls.multi_inference import multi_inference
from serving.server.calls.predict import DEFAULT_SIGNATURE, predict
from serving.server.calls.prediction import Prediction
from serving.server.metrics import ServerMetrics
from serving.server.models.manager import ModelManager
from serving.server.runtime.servable import Servable
from serving.server.status import invalid_argument, status_of_exception
from serving.tensors import MAX_BYTES, Array

SIGNATURE_DEF = "signature_def"

_Response = TypeVar("_Response")


@dataclasses.dataclass(frozen=True)
class InferenceOptions:
    """`checks_method_name` holds Classify and Regress to signatures that say they are for them; TF 2 exports don't."""

    checks_method_name: bool = False
    max_tensor_bytes: int = MAX_BYTES


class Inference:
    """PredictionService's methods over a manager's models.

    Each takes the request, the time it may take and the `entrypoint` (`GRPC` or `REST`) that its metrics name, and
    raises StatusError, or TensorFlow's errors, for one that can't be answered.
    """

    def __init__(self, manager: ModelManager, metrics: ServerMetrics, options: InferenceOptions) -> None:
        self._manager = manager
        self._metrics = metrics
        self._options = options

    def predict(self, request: predict_pb2.PredictRequest, timeout_seconds: float, entrypoint: str) -> Prediction:
        """Run one signature on the request's tensors."""

        def answer() -> Prediction:
            with self._manager.lease(_spec(request)) as (servable, version):
                return predict(
                    servable,
                    version,
                    request,
                    timeout_seconds=timeout_seconds,
                    max_bytes=self._options.max_tensor_bytes,
                )

        return self._measured(answer, request.model_spec.name, "Predict", entrypoint)

    def classify(
        self, request: classification_pb2.ClassificationRequest, timeout_seconds: float, entrypoint: str
    ) -> classification_pb2.ClassificationResponse:
        """Run one signature on the request's examples, and return labels and scores."""

        def answer() -> classification_pb2.ClassificationResponse:
            response = classification_pb2.ClassificationResponse()
            values, num_examples = self._run_examples(request, response, timeout_seconds, classify)
            response.result.CopyFrom(classify.classifications(values, num_examples))
            return response

        return self._measured(answer, request.model_spec.name, "Classify", entrypoint)

    def regress(
        self, request: regression_pb2.RegressionRequest, timeout_seconds: float, entrypoint: str
    ) -> regression_pb2.RegressionResponse:
        """Run one signature on the request's examples, and return one number each."""

        def answer() -> regression_pb2.RegressionResponse:
            response = regression_pb2.RegressionResponse()
            values, num_examples = self._run_examples(request, response, timeout_seconds, regress)
            response.result.CopyFrom(regress.regressions(values, num_examples))
            return response

        return self._measured(answer, request.model_spec.name, "Regress", entrypoint)

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, timeout_seconds: float, entrypoint: str
    ) -> inference_pb2.MultiInferenceResponse:
        """Run several signatures of one model on the request's examples."""
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()

        def answer() -> inference_pb2.MultiInferenceResponse:
            with self._manager.lease(spec) as (servable, version):
                return multi_inference(
                    servable,
                    version,
                    request,
                    timeout_seconds=timeout_seconds,
                    checks_method_name=self._options.checks_method_name,
                )

        return self._measured(answer, spec.name, "MultiInference", entrypoint)

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Return a model's SignatureDefs."""
        spec = _spec(request)
        if not request.metadata_field:
            raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise invalid_argument(f"Metadata field {field} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with self._manager.lease(spec) as (servable, version):
            response.model_spec.name = spec.name
            response.model_spec.version.value = version
            for name, signature in servable.signatures.items():
                signatures.signature_def[name].CopyFrom(signature.definition)
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response

    def input_infos(self, spec: model_pb2.ModelSpec) -> dict[str, Any]:
        """Return the TensorInfo of each input of the signature that `spec` names, for REST to read JSON by."""
        name = spec.signature_name or DEFAULT_SIGNATURE
        with self._manager.lease(spec) as (servable, _):
            signature = servable.signatures.get(name)
            if signature is None:
                raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
            return dict(sorted(signature.definition.inputs.items()))

    def _run_examples(
        self, request: Any, response: Any, timeout_seconds: float, method: Any
    ) -> tuple[dict[str, Array], int]:
        """Run what `method` (the module of Classify or Regress) reads, and fill the response's model_spec."""
        spec = _spec(request)
        name = spec.signature_name or DEFAULT_SIGNATURE
        with self._manager.lease(spec) as (servable, version):
            outputs = method.outputs_to_run(
                find_signature(servable, name), checks_method_name=self._options.checks_method_name
            )
            examples = serialized_examples(request.input)
            values = self._run(servable, name, examples, outputs, timeout_seconds)
        response.model_spec.name = spec.name
        response.model_spec.signature_name = name
        response.model_spec.version.value = version
        return values, len(examples)

    def _run(
        self, servable: Servable, name: str, examples: Array, outputs: list[str], timeout_seconds: float
    ) -> dict[str, Array]:
        values = servable.run_signature(name, {INPUTS: examples}, outputs, timeout_seconds)
        return dict(zip(outputs, values, strict=True))

    def _measured(self, answer: Callable[[], _Response], model: str, api: str, entrypoint: str) -> _Response:
        start_seconds = time.perf_counter()
        try:
            response = answer()
        except Exception as error:
            self._metrics.count_request(model, status_of_exception(error).code.name)
            raise
        self._metrics.add_latency(model, api, entrypoint, (time.perf_counter() - start_seconds) * 1e6)
        self._metrics.count_request(model, "OK")
        return response


def _spec(request: Any) -> model_pb2.ModelSpec:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    return request.model_spec
