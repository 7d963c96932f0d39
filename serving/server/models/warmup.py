"""Warm-up: requests recorded beside a model, replayed before it answers its first real one.

The first run of a signature plans the graph and allocates memory, which can take a hundred times as long as
the second. A model that fails its own recorded requests must not replace one that works.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow_serving.apis import prediction_log_pb2

from serving.server.calls import classify, regress
from serving.server.calls.examples import INPUTS, serialized_examples
from serving.server.calls.methods import find_signature
from serving.server.calls.multi_inference import multi_inference
from serving.server.calls.predict import DEFAULT_SIGNATURE, predict
from serving.server.runtime.servable import Servable
from serving.server.status import invalid_argument, unimplemented

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
MAX_RECORDS = 1000

_log = logging.getLogger(__name__)


def warm_up(servable: Servable, version: int, version_dir: Path, num_iterations: int = 1) -> int:
    """Replay each warm-up request of `version_dir` so many times, and return how many there were.

    Raises the first error that a request meets, and TensorFlow's DataLossError for a torn file.
    """
    path = version_dir / WARMUP_FILE
    if not path.exists():
        return 0
    start_seconds = time.monotonic()
    num_records = 0
    for record in tf.compat.v1.io.tf_record_iterator(str(path)):
        num_records += 1
        if num_records > MAX_RECORDS:
            raise invalid_argument(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
        for _ in range(num_iterations):
            _replay(servable, version, record, path)
    _log.info("%s: %d warm-up requests in %.2f s", path, num_records, time.monotonic() - start_seconds)
    return num_records


def _replay(servable: Servable, version: int, record: bytes, path: Path) -> None:
    log = prediction_log_pb2.PredictionLog()
    try:
        log.ParseFromString(record)
    except DecodeError:
        raise invalid_argument(f"Failed to parse warmup record from {path}") from None
    kind = log.WhichOneof("log_type")
    number = log.DESCRIPTOR.fields_by_name[kind].number if kind else 0
    match kind:
        case "predict_log":
            predict(servable, version, log.predict_log.request)
        case "classify_log":
            _replay_examples(servable, log.classify_log.request, classify, classify.classifications)
        case "regress_log":
            _replay_examples(servable, log.regress_log.request, regress, regress.regressions)
        case "multi_inference_log":
            multi_inference(servable, version, log.multi_inference_log.request)
        case _:
            raise unimplemented(f"Unsupported log_type for warmup: {number}")


def _replay_examples(servable: Servable, request: Any, method: Any, result_of: Callable[..., Any]) -> None:
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    outputs = method.outputs_to_run(find_signature(servable, name), checks_method_name=False)
    examples = serialized_examples(request.input)
    values = servable.run_signature(name, {INPUTS: examples}, outputs)
    result_of(dict(zip(outputs, values, strict=True)), len(examples))
