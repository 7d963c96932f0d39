"""Regress: examples to one number each by one signature of a servable."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from tensorflow_serving.apis import regression_pb2

from serving.server.calls.examples import INPUTS
from serving.server.calls.methods import REGRESS, check_input, check_method_name, shape_text
from serving.server.runtime.servable import Signature
from serving.server.status import failed_precondition, invalid_argument
from serving.tensors import Array

OUTPUTS = "outputs"


def outputs_to_run(signature: Signature, *, checks_method_name: bool) -> list[str]:
    """Return which outputs a regression reads. Raises StatusError for a signature that is none."""
    if checks_method_name:
        check_method_name(signature, REGRESS, "regression")
    if len(signature.input_handles) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(signature.output_handles) != 1:
        raise invalid_argument("Expected one output Tensor.")
    check_input(signature, INPUTS, "regression")
    if OUTPUTS not in signature.output_handles:
        raise failed_precondition(f"No regression outputs found in SignatureDef: {signature.definition}")
    return [OUTPUTS]


def regressions(values: Mapping[str, Array], num_examples: int) -> regression_pb2.RegressionResult:
    """Return the answer that the output makes, float [batch] or [batch, 1]. Raises StatusError for another."""
    value = values[OUTPUTS]
    if value.ndim != 1 and not (value.ndim == 2 and value.shape[1] == 1):
        raise invalid_argument(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {shape_text(value)}"
        )
    if len(value) != num_examples:
        raise invalid_argument(f"Input batch size did not match output batch size: {num_examples} vs. {len(value)}")
    if value.dtype != np.float32:
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {value.dtype}")
    result = regression_pb2.RegressionResult()
    for number in value.ravel().tolist():
        result.regressions.add(value=number)
    return result
