"""What the workers of one server tell each other, over Unix sockets in a directory that only their user can read.

A request reaches one of them. A new configuration must reach all, also one that starts later; and a page of metrics
must count what all have done.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.server.metrics import Samples
from serving.server.rpc.answers import ends_with_status
from serving.server.status import StatusError

_SERVICE = "tfrec.Sibling"
_RELOADED = "reloaded.config"
_RELOAD_SECONDS, _METRICS_SECONDS = 600.0, 2.0

_log = logging.getLogger(__name__)


class Siblings:
    """The other workers, as one of them sees them: each is a socket in `directory`."""

    def __init__(self, directory: Path, number: int) -> None:
        self._directory = directory
        self._own_path = directory / f"{number}.sock"
        self._server: grpc.Server | None = None

    def listen(self, reload: Callable[[ModelServerConfig], None], samples: Callable[[], Samples]) -> None:
        """Answer the others: `reload` serves a configuration, `samples` returns what was counted here."""
        handlers = _Handlers(reload, samples)
        server = grpc.server(futures.ThreadPoolExecutor(4, thread_name_prefix="sibling"))
        methods = {
            "Reload": grpc.unary_unary_rpc_method_handler(handlers.reload),
            "Metrics": grpc.unary_unary_rpc_method_handler(handlers.metrics),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, methods),))
        server.add_insecure_port(f"unix:{self._own_path}")
        server.start()
        self._server = server

    def close(self) -> None:
        """Be no longer there for the others."""
        if self._server is not None:
            self._server.stop(0).wait()
            self._own_path.unlink(missing_ok=True)

    def reloaded(self) -> ModelServerConfig | None:
        """Return the configuration that was served last, if it is not the one of the start any more."""
        path = self._directory / _RELOADED
        return ModelServerConfig.FromString(path.read_bytes()) if path.exists() else None

    def reload(self, config: ModelServerConfig) -> None:
        """Have the others serve `config`, and those that start later. Raises StatusError for one that can't."""
        hidden = self._own_path.with_suffix(".config")
        hidden.write_bytes(config.SerializeToString())
        hidden.rename(self._directory / _RELOADED)
        for path in self._others():
            try:
                self._call(path, "Reload", config.SerializeToString(), _RELOAD_SECONDS)
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    continue  # it is gone; the one that takes its place begins with this configuration
                raise StatusError(error.code(), error.details() or "") from error

    def samples(self) -> list[Samples]:
        """Return what each of the others has counted; one that does not answer is left out."""
        found = []
        for path in self._others():
            try:
                answer = json.loads(self._call(path, "Metrics", b"", _METRICS_SECONDS))
            except grpc.RpcError as error:
                _log.warning("worker %s tells no metrics: %s", path.stem, error.code())
                continue
            found.append({(name, tuple((k, v) for k, v in labels)): values for name, labels, values in answer})
        return found

    def _others(self) -> list[Path]:
        return sorted(path for path in self._directory.glob("*.sock") if path != self._own_path)

    def _call(self, path: Path, method: str, request: bytes, timeout_seconds: float) -> bytes:
        with grpc.insecure_channel(f"unix:{path}") as channel:
            answer: bytes = channel.unary_unary(f"/{_SERVICE}/{method}")(request, timeout=timeout_seconds)
            return answer


class _Handlers:
    def __init__(self, reload: Callable[[ModelServerConfig], None], samples: Callable[[], Samples]) -> None:
        self._reload = reload
        self._samples = samples

    @ends_with_status
    def reload(self, request: bytes, context: Any) -> bytes:
        self._reload(ModelServerConfig.FromString(request))
        return b""

    @ends_with_status
    def metrics(self, request: bytes, context: Any) -> bytes:
        return json.dumps([(name, labels, values) for (name, labels), values in self._samples().items()]).encode()
