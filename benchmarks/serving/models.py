"""Models whose graph takes next to nothing, or about as much as a small ranker's."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

CANDIDATES, FEATURES, HIDDEN = 64, 32, (64, 32)


class Tiny(tf.Module):
    """Halves one number."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return x / 2."""
        return {"y": x / 2}


class Perceptron(tf.Module):
    """Two hidden layers over rows of features: a ranker's part for `CANDIDATES` candidates."""

    def __init__(self) -> None:
        super().__init__()
        draw = np.random.default_rng(1)
        sizes = (FEATURES, *HIDDEN, 1)
        self.weights = [
            tf.Variable(draw.normal(0, rows**-0.5, (rows, columns)).astype(np.float32))
            for rows, columns in itertools.pairwise(sizes)
        ]

    @tf.function(input_signature=[tf.TensorSpec([None, FEATURES], tf.float32, name="x")])
    def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return a score for each row, float [batch]."""
        for weights in self.weights[:-1]:
            x = tf.nn.relu(x @ weights)
        return {"y": (x @ self.weights[-1])[:, 0]}


def save(model: Tiny | Perceptron, path: Path) -> None:
    """Save a model as a version that can be served."""
    tf.saved_model.save(model, str(path), signatures={"serving_default": model.serve})


def request(model: str, rows: np.ndarray) -> bytes:
    """Return the serialized request for `rows`, made once: what is measured is the server."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    message.inputs["x"].CopyFrom(tf.make_tensor_proto(rows))
    serialized: bytes = message.SerializeToString()
    return serialized
