"""Classify: examples to labels and scores by one signature of a servable."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from tensorflow_serving.apis import classification_pb2

from serving.server.calls.examples import INPUTS
from serving.server.calls.methods import CLASSIFY, check_input, check_method_name, shape_text
from serving.server.runtime.servable import Signature
from serving.server.status import failed_precondition, invalid_argument
from serving.tensors import Array

CLASSES, SCORES = "classes", "scores"


def outputs_to_run(signature: Signature, *, checks_method_name: bool) -> list[str]:
    """Return which outputs a classification reads. Raises StatusError for a signature that is none."""
    if checks_method_name:
        check_method_name(signature, CLASSIFY, "classification")
    if len(signature.input_handles) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(signature.output_handles) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.output_handles)}")
    check_input(signature, INPUTS, "classification")
    wanted = [name for name in (CLASSES, SCORES) if name in signature.output_handles]
    if not wanted:
        raise failed_precondition(
            f'Expected classification signature outputs to contain at least one of "{CLASSES}" or "{SCORES}". '
            f"Signature was: {signature.definition}"
        )
    return wanted


def classifications(values: Mapping[str, Array], num_examples: int) -> classification_pb2.ClassificationResult:
    """Return the answer that outputs make, each string or float [batch, num_classes]. Raises StatusError for others."""
    classes, scores = values.get(CLASSES), values.get(SCORES)
    if classes is not None:
        _check(classes, CLASSES, num_examples, np.dtype(object), "DT_STRING")
    if scores is not None:
        _check(scores, SCORES, num_examples, np.dtype(np.float32), "DT_FLOAT")
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid_argument(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    result = classification_pb2.ClassificationResult()
    for i in range(num_examples):
        row = result.classifications.add()
        labels = classes[i].tolist() if classes is not None else None
        numbers = scores[i].tolist() if scores is not None else None
        for j in range(len(labels if labels is not None else numbers or ())):
            entry = row.classes.add()
            if labels is not None:
                entry.label = labels[j].decode(errors="replace")
            if numbers is not None:
                entry.score = numbers[j]
    return result


def _check(value: Array, name: str, num_examples: int, dtype: np.dtype[np.generic], type_name: str) -> None:
    if value.ndim != 2:
        raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {shape_text(value)}")
    if value.dtype != dtype:
        raise invalid_argument(f"Expected {name} Tensor of {type_name}. Got: {value.dtype}")
    if len(value) != num_examples:
        raise invalid_argument(f"Expected {name} output batch size of {num_examples}. Got: {len(value)}")
