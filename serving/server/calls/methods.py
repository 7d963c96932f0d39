"""What Classify, Regress and MultiInference ask of a signature, and say of one that does not fit."""

from __future__ import annotations

from serving.server.runtime.servable import Servable, Signature
from serving.server.status import failed_precondition, invalid_argument
from serving.tensors import Array

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


def find_signature(servable: Servable, name: str) -> Signature:
    """Return the signature of that name. Raises StatusError when there is none."""
    signature = servable.signatures.get(name)
    if signature is None:
        raise invalid_argument(f"No signature was found with the name: {name}")
    return signature


def check_method_name(signature: Signature, method_name: str, kind: str) -> None:
    """Raise StatusError for a signature that says it is for another method."""
    if signature.definition.method_name != method_name:
        raise invalid_argument(
            f"Expected {kind} signature method_name to be {method_name}. Was: {signature.definition.method_name}"
        )


def check_input(signature: Signature, name: str, kind: str) -> None:
    """Raise StatusError for a signature without the input `name`."""
    if name not in signature.input_handles:
        raise failed_precondition(f"No {kind} inputs found in SignatureDef: {signature.definition}")


def shape_text(value: Array) -> str:
    """Return a shape as TensorFlow prints it, such as `[2,3]`."""
    return "[" + ",".join(str(size) for size in value.shape) + "]"
