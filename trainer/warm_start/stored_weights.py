"""The best weights of a job, variable by variable, without building its model."""

from __future__ import annotations

from collections import deque

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import trackable_object_graph_pb2
from tensorflow.python.distribute.sharded_variable import ShardedVariable  # has no public name

from tfrec.errors import ArtifactError
from trainer.job import JobDirectory

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
UNREADABLE = (tf.errors.OpError, LookupError, RuntimeError, ValueError, DecodeError)


def variable_paths(model: tf.keras.Model) -> dict[str, tf.Variable]:
    """Place in the model ("embedding/_tables/embedding") → variable, as checkpoints name it; shards as one."""
    found: dict[str, tf.Variable] = {}
    seen = {id(model)}
    waiting = deque([("", model)])
    view = tf.train.TrackableView(model)
    while waiting:
        prefix, parent = waiting.popleft()
        for name, child in view.children(parent).items():
            if id(child) in seen:
                continue
            seen.add(id(child))
            path = f"{prefix}/{name}" if prefix else name
            if isinstance(child, tf.Variable | ShardedVariable):
                found[path] = child
            else:
                waiting.append((path, child))
    return found


def pieces(variable: tf.Variable) -> list[tuple[int, tf.Variable]]:
    """(first row, variable) of every shard; the variable itself where it has none."""
    if not isinstance(variable, ShardedVariable):
        return [(0, variable)]
    found, first = [], 0
    for shard in variable.variables:
        found.append((first, shard))
        first += shard.shape[0]
    return found


class StoredWeights:
    """The checkpoint of a job's best epoch."""

    def __init__(self, job: JobDirectory) -> None:
        """Open it.

        Raises:
            ArtifactError: the job has no finished epoch, or the checkpoint is torn.

        """
        self._prefix = tf.train.latest_checkpoint(str(job.best_checkpoint))
        if self._prefix is None:
            raise ArtifactError(f"{job.best_checkpoint}: no finished epoch; train with: python -m trainer.task")
        try:
            self._reader = tf.train.load_checkpoint(self._prefix)
            graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(self._reader.get_tensor(GRAPH))
        except UNREADABLE as error:
            raise self._torn(error) from None
        self._nodes = graph.nodes
        self._shapes = self._reader.get_variable_to_shape_map()
        self._model = self._child(0, "model")

    def shape(self, path: str) -> tuple[int, ...] | None:
        """Of the variable in this place; None if there is none."""
        key = self._key(path)
        return None if key is None else tuple(self._shapes[key])

    def values(self, path: str) -> np.ndarray:
        """All values of the variable in this place; of shards together. Raises ArtifactError if the file is torn."""
        try:
            found: np.ndarray = self._reader.get_tensor(self._key(path))
        except UNREADABLE as error:
            raise self._torn(error) from None
        return found

    def _key(self, path: str) -> str | None:
        node = self._model
        for name in path.split("/"):
            node = None if node is None else self._child(node, name)
        if node is None:
            return None
        return next((attribute.checkpoint_key for attribute in self._nodes[node].attributes), None)

    def _child(self, node: int, name: str) -> int | None:
        children = self._nodes[node].children
        return next((child.node_id for child in children if child.local_name == name), None)

    def _torn(self, error: BaseException) -> ArtifactError:
        reason = str(getattr(error, "message", None) or error).partition("\n")[0][:200]
        return ArtifactError(f"{self._prefix}: is torn ({reason}); start without --warm-start-from")
