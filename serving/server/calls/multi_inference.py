"""MultiInference: the same examples through several signatures of one servable, in one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorflow_serving.apis import inference_pb2

from serving.server.calls import classify, regress
from serving.server.calls.examples import INPUTS, serialized_examples
from serving.server.calls.methods import CLASSIFY, REGRESS
from serving.server.calls.predict import DEFAULT_SIGNATURE
from serving.server.runtime.runtime_options import NO_TIMEOUT
from serving.server.runtime.servable import Servable
from serving.server.status import invalid_argument, unimplemented
from serving.tensors import Array


def multi_inference(
    servable: Servable,
    version: int,
    request: inference_pb2.MultiInferenceRequest,
    *,
    timeout_seconds: float = NO_TIMEOUT,
    checks_method_name: bool = False,
) -> inference_pb2.MultiInferenceResponse:
    """Answer all tasks of `request` with `servable`, which is `version` of their model."""
    wanted = _outputs_of_tasks(servable, request, checks_method_name)
    examples = serialized_examples(request.input)
    handles: dict[tuple[str, str], Any] = {}
    for name, outputs in wanted.items():
        signature = servable.signatures[name]
        handles |= {(name, output): signature.output_handles[output] for output in outputs}
    # By the tensor's name: signatures may share their placeholder, and none may be fed twice.
    signatures = [servable.signatures[name] for name in wanted]
    fed = {signature.definition.inputs[INPUTS].name: signature.input_handles[INPUTS] for signature in signatures}
    feeds = dict.fromkeys(fed.values(), examples)
    values = dict(zip(handles, servable.run(feeds, list(handles.values()), timeout_seconds), strict=True))
    response = inference_pb2.MultiInferenceResponse()
    for task in request.tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        result = response.results.add()
        _fill(result, task.method_name, {output: values[name, output] for output in wanted[name]}, len(examples))
        result.model_spec.name = task.model_spec.name
        result.model_spec.signature_name = name
        result.model_spec.version.value = version
    return response


def _outputs_of_tasks(
    servable: Servable, request: inference_pb2.MultiInferenceRequest, checks_method_name: bool
) -> dict[str, list[str]]:
    """Return the outputs to read of each task's signature, by its name."""
    wanted: dict[str, list[str]] = {}
    model = ""
    for task in request.tasks:
        if not task.model_spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if task.model_spec.name != (model or task.model_spec.name):
            raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        model = task.model_spec.name
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in wanted:
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        signature = servable.signatures.get(name)
        if signature is None:
            raise invalid_argument(f"Requested signature not found in model graph: {name}")
        match task.method_name:
            case method if method == CLASSIFY:
                wanted[name] = classify.outputs_to_run(signature, checks_method_name=checks_method_name)
            case method if method == REGRESS:
                wanted[name] = regress.outputs_to_run(signature, checks_method_name=checks_method_name)
            case _:
                raise unimplemented(f"Unsupported signature method_name: {task.method_name}")
    return wanted


def _fill(result: Any, method_name: str, values: Mapping[str, Array], num_examples: int) -> None:
    if method_name == CLASSIFY:
        result.classification_result.CopyFrom(classify.classifications(values, num_examples))
    else:
        result.regression_result.CopyFrom(regress.regressions(values, num_examples))
