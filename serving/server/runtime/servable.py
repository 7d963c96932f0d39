"""One loaded SavedModel: its signatures, and the session that runs them.

The session is TensorFlow 1's, called below `Session.run`. `Session.run` casts dtypes silently and enforces
the placeholders' static shapes, neither of which TF Serving does, and it spends more time in Python than
small models spend in their graph. The lower call takes tensor handles and a timeout, and fails with the
runtime's own messages.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.client import pywrap_tf_session

from serving import tensors
from serving.server.runtime.batching import Batcher
from serving.server.runtime.batching_options import BatchingOptions
from serving.server.runtime.inline_runs import RunTimes, ends_by_itself, inline_run_options
from serving.server.runtime.runtime_options import NO_TIMEOUT, RuntimeOptions
from serving.server.status import deadline_exceeded, not_found
from serving.tensors import Array


@dataclasses.dataclass(frozen=True)
class Signature:
    """A SignatureDef with what each call needs of it resolved once: tensor handles and decoded defaults."""

    definition: meta_graph_pb2.SignatureDef
    input_handles: Mapping[str, Any]
    output_handles: Mapping[str, Any]
    defaults: Mapping[str, Array]


class Servable:
    """A SavedModel in memory. Safe to call from many threads."""

    def __init__(
        self,
        session: tf.compat.v1.Session,
        signatures: Mapping[str, Signature],
        batching: BatchingOptions | None = None,
        inline_signatures: Iterable[str] = (),
    ) -> None:
        self._session = session
        self.signatures = signatures
        self._run_times = {name: RunTimes() for name in inline_signatures}
        self._batchers = {name: self._batcher(name, batching) for name in signatures} if batching else {}

    @classmethod
    def load(cls, path: Path, options: RuntimeOptions = RuntimeOptions()) -> Servable:  # noqa: B008
        """Load the SavedModel in `path`: read its graph, restore the variables, run its initialisers.

        Raises StatusError, OSError or a TensorFlow error when it can't be loaded.
        """
        config = tf.compat.v1.ConfigProto(
            inter_op_parallelism_threads=options.inter_op_parallelism_threads,
            intra_op_parallelism_threads=options.intra_op_parallelism_threads,
        )
        session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            with session.graph.as_default():
                meta_graph = _load_meta_graph(session, path, options.tags)
                signatures = {
                    name: _bind(definition, session.graph)
                    for name, definition in meta_graph.signature_def.items()
                    if not name.startswith("__")
                }
        except BaseException:
            session.close()
            raise
        # `Session.run` sends the graph to the runtime before each step. Below it nobody does, and a model
        # without variables and initialisers has run no step while it was loaded.
        session._extend_graph()
        session.graph.finalize()
        # Who sets the number of threads between ops wants them used.
        may_be_inline = not options.inter_op_parallelism_threads
        inline = [name for name in signatures if may_be_inline and _ends(signatures[name], meta_graph)]
        return cls(session, signatures, options.batching, inline)

    def run_signature(
        self,
        name: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str],
        timeout_seconds: float = NO_TIMEOUT,
    ) -> Sequence[Array]:
        """Return the named outputs of signature `name` for all or some of its inputs.

        Calls with all inputs and outputs share batches where batching is on; others run alone, as in TF Serving.
        Raises as `run` does.
        """
        signature = self.signatures[name]
        batcher = self._batchers.get(name)
        if batcher and len(inputs) == len(signature.input_handles) and len(outputs) == len(signature.output_handles):
            values = batcher.run(inputs, timeout_seconds)
            by_alias = dict(zip(signature.output_handles, values, strict=True))
            return [by_alias[alias] for alias in outputs]
        return self._run_aliases(name, inputs, outputs, timeout_seconds)

    def _run_aliases(
        self, name: str, inputs: Mapping[str, Array], outputs: Sequence[str], timeout_seconds: float
    ) -> list[Array]:
        signature = self.signatures[name]
        feeds = {signature.input_handles[alias]: array for alias, array in inputs.items()}
        fetches = [signature.output_handles[alias] for alias in outputs]
        times = self._run_times.get(name)
        if times is None:
            return self.run(feeds, fetches, timeout_seconds)
        is_inline = times.leave_time(timeout_seconds)
        start_seconds = time.perf_counter()
        if is_inline:
            values = self._run(feeds, fetches, inline_run_options())
        else:
            values = self.run(feeds, fetches, timeout_seconds)
        seconds = time.perf_counter() - start_seconds
        times.add(seconds)
        if is_inline and seconds > timeout_seconds:
            raise deadline_exceeded()
        return values

    def _batcher(self, name: str, options: BatchingOptions) -> Batcher:
        outputs = list(self.signatures[name].output_handles)
        return Batcher(options, lambda inputs, timeout: self._run_aliases(name, inputs, outputs, timeout))

    def run(
        self, feeds: Mapping[Any, Array], fetches: Sequence[Any], timeout_seconds: float = NO_TIMEOUT
    ) -> list[Array]:
        """Return the fetched tensors' values; feeds and fetches are handles of this servable's signatures.

        Raises a TensorFlow error with the failing op's message; DeadlineExceededError after
        `timeout_seconds`.
        """
        if timeout_seconds == NO_TIMEOUT:
            return self._run(feeds, fetches, None)
        # 0 means "no timeout" to the runtime, so that a deadline below one millisecond is rounded up.
        options = tf.compat.v1.RunOptions(timeout_in_ms=max(1, int(timeout_seconds * 1000)))
        buffer = pywrap_tf_session.TF_NewBufferFromString(options.SerializeToString())
        try:
            return self._run(feeds, fetches, buffer)
        finally:
            pywrap_tf_session.TF_DeleteBuffer(buffer)

    def _run(self, feeds: Mapping[Any, Array], fetches: Sequence[Any], options: Any) -> list[Array]:
        values: list[Array] = pywrap_tf_session.TF_SessionRun_wrapper(
            self._session._session, options, feeds, list(fetches), [], None
        )
        return values

    def close(self) -> None:
        """Free the session. Runs that are still under way end with CANCELLED."""
        self._session.close()


def _ends(signature: Signature, meta_graph: meta_graph_pb2.MetaGraphDef) -> bool:
    return ends_by_itself(signature.definition, meta_graph.graph_def)


def _load_meta_graph(session: tf.compat.v1.Session, path: Path, tags: Sequence[str]) -> meta_graph_pb2.MetaGraphDef:
    try:
        return tf.compat.v1.saved_model.loader.load(session, list(tags), str(path))
    except RuntimeError as error:
        # The loader's only RuntimeError: no graph with the tag.
        raise not_found(
            f"Could not find meta graph def matching supplied tags: {{ {' '.join(tags)} }}. To inspect available "
            "tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`"
        ) from error


def _bind(definition: meta_graph_pb2.SignatureDef, graph: tf.Graph) -> Signature:
    def handle(info: meta_graph_pb2.TensorInfo) -> Any:
        return graph.get_tensor_by_name(info.name)._as_tf_output()

    return Signature(
        definition=definition,
        input_handles={alias: handle(info) for alias, info in sorted(definition.inputs.items())},
        output_handles={alias: handle(info) for alias, info in sorted(definition.outputs.items())},
        defaults={alias: tensors.decode(proto) for alias, proto in definition.defaults.items()},
    )
