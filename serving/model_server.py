"""A model server: models and services behind one port."""

from __future__ import annotations

import threading
from concurrent import futures
from types import TracebackType

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from serving.model_manager import ModelManager
from serving.model_service import ModelService
from serving.options import ServerOptions
from serving.prediction_service import PredictionService
from tfrec.errors import ConfigError

_GRPC_OPTIONS = (
    # Tensors are larger than gRPC's 4 MB; TF Serving lifts the limit too.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Else a second server on the same port starts without an error, and the two share the requests at random.
    ("grpc.so_reuseport", 0),
)


class ModelServer:
    """A running server: `with ModelServer(options) as server: Client(server.target)`."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._manager = ModelManager(options.load)
        self._grpc_server: grpc.Server | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port that is listened on; 0 before the start."""
        return self._port

    @property
    def target(self) -> str:
        """`host:port`, as a client takes it."""
        return f"{self._options.host}:{self._port}"

    def summary(self) -> str:
        """Return the models and their available versions, for people."""
        return self._manager.summary()

    def start(self, cancel: threading.Event | None = None) -> None:
        """Load the models, then open the port; returns early, with no port, once `cancel` is set.

        Raises ArtifactError for a base path that can't be right, UnavailableError for a model that can't be
        loaded, and ConfigError for an address that can't be listened on.
        """
        try:
            self._manager.serve(self._options.models, cancel)
            if cancel is None or not cancel.is_set():
                self._open_port()
        except BaseException:
            self._manager.stop()
            raise

    def stop(self, drain_timeout_seconds: float | None = None) -> None:
        """Take no new calls, let the running ones finish within the time, then free the models."""
        if drain_timeout_seconds is None:
            drain_timeout_seconds = self._options.drain_timeout_seconds
        if self._grpc_server is not None:
            self._grpc_server.stop(drain_timeout_seconds).wait()
            self._grpc_server = None
        self._manager.stop()

    def __enter__(self) -> ModelServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _open_port(self) -> None:
        pool = futures.ThreadPoolExecutor(self._options.grpc_max_threads, thread_name_prefix="call")
        server = grpc.server(pool, options=_GRPC_OPTIONS)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(self._manager, as_content=self._options.enable_serialization_as_tensor_content),
            server,
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(self._manager), server)
        address = f"{self._options.host}:{self._options.port}"
        try:
            self._port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise ConfigError(
                f"can't listen on {address}: the port is taken or the host is not this machine's; "
                "choose another --port, or 0 for any free one"
            ) from error
        server.start()
        self._grpc_server = server
