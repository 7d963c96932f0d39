"""Requests that use every signature of an export, with everything that it may be asked: recorded for servers to replay.

The first request plans a graph and allocates its memory. A branch that no request has taken is not warm, so one request
leaves out what may be left out, and one has lists, filters and several rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tfrec.dataset.records import Arrays
from tfrec.export.signature import input_defaults
from tfrec.export.tables import ExportTables
from tfrec.schema import EVENT_TIME_MS, Schema

WARM_UP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
ROWS, LISTED, K = 2, 20, 10
# The requests also check the export: one that took its time from the clock could be answered otherwise a second later.
MOMENT_MS = 1_700_000_000_000


@dataclass(frozen=True)
class WarmUp:
    """One request.

    Attributes:
        signature: whom it asks.
        inputs: every input of the signature; strings as objects.

    """

    signature: str
    inputs: Arrays = field(default_factory=dict)


def warm_up_requests(signatures: dict[str, Any], tables: ExportTables, schema: Schema) -> list[WarmUp]:
    """Two requests for each signature: the least that it can be asked, and the most."""
    found = []
    for name, function in signatures.items():
        specs = {spec.name: spec for spec in function.input_signature}
        defaults = {key: value.numpy() for key, value in input_defaults(function).items()}
        for rows, is_full in ((1, False), (ROWS, True)):
            found.append(WarmUp(name, _request(specs, defaults, tables, schema, rows, is_full=is_full)))
    return found


def _request(
    specs: dict[str, tf.TensorSpec], defaults: Arrays, tables: ExportTables, schema: Schema, rows: int, *, is_full: bool
) -> Arrays:
    users = _first(tables.user_ids, rows)
    items = _first(tables.catalogue.ids, LISTED)
    example = tf.train.Example()
    for name, value in ((schema.user_id, users[0]), (schema.item_id, items[0])):
        example.features.feature[name].bytes_list.value.append(value)
    known: dict[str, Callable[[], np.ndarray]] = {
        schema.user_id: lambda: users,
        schema.item_id: lambda: _first(tables.catalogue.ids, rows),
        "item_ids": lambda: _first(tables.catalogue.ids, rows),
        "candidate_ids": lambda: _spread(items, rows),
        EVENT_TIME_MS: lambda: np.full(rows, MOMENT_MS),
        "examples": lambda: _column(example.SerializeToString(), rows),
    }
    if is_full:
        known |= {
            "k": lambda: np.full(rows, K, np.int32),
            "exclude_ids": lambda: _spread(np.append(b"", items[:2]), rows),
            "allow_ids": lambda: _spread(np.append(b"", items[1:]), rows),
            **{one.input_name: _filter_value(tables.raw_items[one.feature], rows) for one in tables.filters},
        }
        if schema.history is not None:
            known[schema.history] = lambda: _spread(items[:3], rows)
    return {
        name: known[name]().astype(spec.dtype.as_numpy_dtype)
        if name in known
        else np.repeat(defaults[name], rows, axis=0)
        for name, spec in specs.items()
    }


def _filter_value(raw: np.ndarray, rows: int) -> Callable[[], np.ndarray]:
    """The first value that an item has."""
    flat = raw.ravel()
    if raw.dtype == object:
        value = next((one for one in flat if one), b"none")
        return lambda: _spread(_column(value, 1), rows)
    numbers = flat[~np.isnan(flat)]
    return lambda: np.full(rows, numbers[0] if len(numbers) else 0.0, np.float32)


def _first(ids: np.ndarray, count: int) -> np.ndarray:
    """So many ids, from the first on and again; an unknown one where there are none."""
    return np.resize(ids, count) if len(ids) else _column(b"unknown", count)


def _column(value: bytes, rows: int) -> np.ndarray:
    return np.array([value] * rows, object)


def _spread(values: np.ndarray, rows: int) -> np.ndarray:
    return np.repeat(values[None, :], rows, axis=0)


def write_warm_up(directory: Path, model_name: str, requests: list[WarmUp]) -> None:
    """Record requests where a model server looks for them."""
    path = directory / WARM_UP_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            asked = predict_pb2.PredictRequest()
            asked.model_spec.name = model_name
            asked.model_spec.signature_name = request.signature
            for name, value in request.inputs.items():
                asked.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=asked))
            writer.write(log.SerializeToString(deterministic=True))


def answers(loaded: Any, request: WarmUp) -> Arrays:
    """What a loaded SavedModel says to a request."""
    inputs = {name: tf.constant(value) for name, value in request.inputs.items()}
    return {name: value.numpy() for name, value in loaded.signatures[request.signature](**inputs).items()}
