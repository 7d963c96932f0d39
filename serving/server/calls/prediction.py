"""What Predict answers, before it is a message."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

from tensorflow_serving.apis import predict_pb2

from serving.tensor_bytes import delimited, serialized_tensor
from serving.tensors import Array

_OUTPUTS, _MODEL_SPEC = 1, 2
_KEY, _VALUE = 1, 2


@dataclasses.dataclass(slots=True)
class Prediction:
    """The outputs by name, of one signature of one version of a model."""

    model_name: str
    signature_name: str
    version: int
    outputs: Mapping[str, Array]

    def serialized(self, *, as_content: bool = False) -> bytes:
        """Return a PredictResponse's bytes; numbers in the typed fields, or as raw `tensor_content`."""
        entries = [
            delimited(_OUTPUTS, _key(alias) + delimited(_VALUE, serialized_tensor(value, as_content=as_content)))
            for alias, value in self.outputs.items()
        ]
        return b"".join((*entries, _model_spec(self.model_name, self.signature_name, self.version)))


@functools.lru_cache(maxsize=1024)
def _key(alias: str) -> bytes:
    return delimited(_KEY, alias.encode())


@functools.lru_cache(maxsize=1024)
def _model_spec(model_name: str, signature_name: str, version: int) -> bytes:
    """Return the response's model_spec, which is the same from one call to the next."""
    response = predict_pb2.PredictResponse()
    response.model_spec.name = model_name
    response.model_spec.signature_name = signature_name
    response.model_spec.version.value = version
    serialized: bytes = response.SerializeToString()
    return serialized
