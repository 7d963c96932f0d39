"""Runs in the caller's own thread: for small graphs most of a run is the way to TensorFlow's threads and back.

Measured on a graph of one op: 4 µs of CPU in the caller's thread, 65 to 105 through the pool. But nothing can end such
a run before it ends by itself. So it is only for signatures without loops and without ops that wait for something, and
for calls with far more time than runs of the signature have taken.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.client import pywrap_tf_session

# In the names of ops that may take for ever: loops, queues, other processes, Python, other calls.
_UNBOUNDED = ("While", "NextIteration", "Dequeue", "Barrier", "Recv", "PyFunc", "Batch", "Dataset", "Iterator",
              "RemoteCall", "Stage", "Mutex")  # fmt: skip
_BOUNDED = {"BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "BatchToSpace", "BatchToSpaceND", "SpaceToBatch",
            "SpaceToBatchND", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"}  # fmt: skip
_MARGIN = 10
_FADING = 0.9


class RunTimes:
    """How long the runs of a signature take: the slowest counts, and fades."""

    def __init__(self) -> None:
        self._slowest_seconds = float("inf")

    def leave_time(self, timeout_seconds: float) -> bool:
        """Tell whether a run surely ends well before its deadline."""
        return timeout_seconds >= _MARGIN * self._slowest_seconds

    def add(self, seconds: float) -> None:
        """Note a run. The first ones, which plan the graph, are soon forgotten."""
        known = self._slowest_seconds
        self._slowest_seconds = seconds if known == float("inf") else max(seconds, _FADING * known)


@functools.cache
def inline_run_options() -> Any:
    """Return the serialized RunOptions for the caller's thread, in the buffer that the session takes."""
    options = tf.compat.v1.RunOptions(inter_op_thread_pool=-1)
    return pywrap_tf_session.TF_NewBufferFromString(options.SerializeToString())


def ends_by_itself(definition: meta_graph_pb2.SignatureDef, graph: graph_pb2.GraphDef) -> bool:
    """Tell whether none of the ops behind a signature's outputs, in functions too, may run or wait for ever."""
    nodes = {node.name: node for node in graph.node}
    functions = {function.signature.name: function.node_def for function in graph.library.function}
    waiting = [info.name for info in definition.outputs.values()]
    seen: set[str] = set()
    called: set[str] = set()
    while waiting:
        name = waiting.pop().lstrip("^").partition(":")[0]
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        if _may_not_end(nodes[name]):
            return False
        waiting.extend(nodes[name].input)
        called.update(_called_by(nodes[name]))
    return _functions_end(called, functions)


def _functions_end(called: set[str], functions: dict[str, Iterable[node_def_pb2.NodeDef]]) -> bool:
    waiting, seen = list(called), set(called)
    while waiting:
        for node in functions.get(waiting.pop(), ()):
            if _may_not_end(node):
                return False
            new = _called_by(node) - seen
            seen |= new
            waiting.extend(new)
    return True


def _may_not_end(node: node_def_pb2.NodeDef) -> bool:
    return node.op == "For" or (node.op not in _BOUNDED and any(part in node.op for part in _UNBOUNDED))


def _called_by(node: node_def_pb2.NodeDef) -> set[str]:
    names = {attribute.func.name for attribute in node.attr.values() if attribute.func.name}
    return names | {function.name for attribute in node.attr.values() for function in attribute.list.func}
