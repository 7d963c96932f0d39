"""An export in a process of its own that has TensorFlow and nothing of this package: what a server will have."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from tfrec.errors import ArtifactError
from trainer.release.warm_up import WarmUp

_SCRIPT = """
import base64, json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"tfrec", "trainer", "transforms", "serving", "tensorflow_recommenders", "tf_keras"}:
            raise ImportError(name + " is not there where the model is served")

sys.meta_path.insert(0, Refuse())
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

loaded = tf.saved_model.load(sys.argv[1])
answers = []
for asked in json.load(open(sys.argv[2])):
    inputs = {}
    for name, text in asked["inputs"].items():
        proto = tensor_pb2.TensorProto.FromString(base64.b64decode(text))
        inputs[name] = tf.constant(tf.make_ndarray(proto))
    found = loaded.signatures[asked["signature"]](**inputs)
    protos = {name: tf.make_tensor_proto(value.numpy()).SerializeToString() for name, value in found.items()}
    answers.append({name: base64.b64encode(proto).decode() for name, proto in protos.items()})
json.dump(answers, open(sys.argv[3], "w"))
"""


def require_same_in_fresh_process(
    directory: Path, requests: list[WarmUp], expected: list[dict[str, np.ndarray]]
) -> None:
    """Replay requests in another process, and compare what it answers.

    Raises:
        ArtifactError: the model does not load there, or answers something else.

    """
    with tempfile.TemporaryDirectory() as scratch:
        asked, said = Path(scratch, "asked.json"), Path(scratch, "said.json")
        content = [
            {"signature": one.signature, "inputs": {name: _encode(value) for name, value in one.inputs.items()}}
            for one in requests
        ]
        asked.write_text(json.dumps(content), encoding="utf-8")
        plain = {name: value for name, value in os.environ.items() if name not in ("TF_USE_LEGACY_KERAS", "PYTHONPATH")}
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, str(directory.resolve()), str(asked), str(said)],
            capture_output=True,
            text=True,
            check=False,
            cwd=scratch,
            env=plain,
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ArtifactError(f"{directory.parent}: the export does not work with TensorFlow alone: {last}")
        found: list[dict[str, Any]] = json.loads(said.read_text(encoding="utf-8"))
    for request, one, other in zip(requests, expected, found, strict=True):
        for name, value in one.items():
            if not _is_same(value, _decode(other[name])):
                raise ArtifactError(
                    f"{directory.parent}: {request.signature} answers another {name!r} in a fresh process; the export "
                    "depends on something outside of it"
                )


def _encode(value: np.ndarray) -> str:
    return base64.b64encode(tf.make_tensor_proto(value).SerializeToString()).decode()


def _decode(text: str) -> np.ndarray:
    array: np.ndarray = tf.make_ndarray(tensor_pb2.TensorProto.FromString(base64.b64decode(text)))
    return array


def _is_same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype.kind == "f":
        return one.shape == other.shape and np.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)
    return one.shape == other.shape and bool((one == other).all())
