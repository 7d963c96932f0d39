"""Predict: a request's tensors through one signature of a servable.

The checks, their order and their texts are TF Serving's, so that its clients can rely on them here.
"""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving import tensors
from serving.server.calls.prediction import Prediction
from serving.server.runtime.runtime_options import NO_TIMEOUT
from serving.server.runtime.servable import Servable, Signature
from serving.server.status import StatusError, failed_precondition, invalid_argument
from serving.tensors import Array

DEFAULT_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY


def predict(
    servable: Servable,
    version: int,
    request: predict_pb2.PredictRequest,
    *,
    timeout_seconds: float = NO_TIMEOUT,
    max_bytes: int = tensors.MAX_BYTES,
) -> Prediction:
    """Answer `request` with `servable`, which is `version` of its model.

    No tensor may take more than `max_bytes`. Raises StatusError for a request that does not fit the signature, and
    the graph's own TensorFlow errors.
    """
    signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = servable.signatures.get(signature_name)
    if signature is None:
        raise failed_precondition(f'Serving signature key "{signature_name}" not found.')
    inputs = _inputs(signature, request, max_bytes)
    aliases = _output_aliases(signature, request)
    values = servable.run_signature(signature_name, inputs, aliases, timeout_seconds)
    return Prediction(request.model_spec.name, signature_name, version, dict(zip(aliases, values, strict=True)))


def _inputs(signature: Signature, request: predict_pb2.PredictRequest, max_bytes: int) -> dict[str, Array]:
    sent = request.inputs
    num_sent, num_inputs = len(sent), len(signature.input_handles)
    if num_sent != num_inputs and not (num_sent < num_inputs and signature.defaults):
        raise _wrong_number_of_inputs(signature, sent)
    inputs: dict[str, Array] = {}
    used = []
    for alias in signature.input_handles:
        if alias in sent:
            used.append(alias)
            try:
                inputs[alias] = tensors.decode(sent[alias], max_bytes)
            except ValueError:
                raise invalid_argument(f"tensor parsing error: {alias}") from None
        elif alias in signature.defaults:
            inputs[alias] = signature.defaults[alias]
        else:
            raise invalid_argument(
                f"Signature input alias: {alias}(feed name: {signature.definition.inputs[alias].name}) "
                f"not found in request and no default value provided. Inputs expected to be in the request "
                f"{{{_joined(sent)}}}, or default input alias set: {_joined(signature.defaults)}"
            )
    if len(used) != num_sent:
        raise invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {_joined(used)}, request input: {_joined(sent)}"
        )
    return inputs


def _wrong_number_of_inputs(signature: Signature, inputs: Iterable[str]) -> StatusError:
    sent, allowed = set(inputs), set(signature.input_handles)
    return invalid_argument(
        f"input size does not match signature: {len(sent)}!={len(allowed)} "
        f"len({{{_joined(sent)}}}) != len({{{_joined(allowed)}}}). "
        f"Sent extra: {{{_joined(sent - allowed)}}}. Missing but required: {{{_joined(allowed - sent)}}}."
    )


def _output_aliases(signature: Signature, request: predict_pb2.PredictRequest) -> list[str]:
    aliases: list[str] = []
    for alias in request.output_filter:
        if alias not in signature.output_handles:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{_joined(signature.output_handles)}}}."
            )
        if alias in aliases:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        aliases.append(alias)
    return aliases or list(signature.output_handles)


def _joined(names: Iterable[str]) -> str:
    return ",".join(sorted(names))
