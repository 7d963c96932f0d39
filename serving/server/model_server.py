"""A model server: models, and the gRPC and REST sides over them."""

from __future__ import annotations

import threading
from types import TracebackType

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.server.calls.inference import Inference, InferenceOptions
from serving.server.metrics import ServerMetrics, added, prometheus_page
from serving.server.models.config_file import models_of_config, read_model_config_file
from serving.server.models.config_watch import ConfigWatch
from serving.server.models.manager import ModelManager
from serving.server.options import ModelOptions, ServerOptions
from serving.server.rest.app import RestApp
from serving.server.rest.http_server import HttpServer
from serving.server.rpc.call_threads import CallThreads
from serving.server.rpc.health import Health
from serving.server.rpc.listener import call_threads, open_grpc_server
from serving.server.rpc.model_service import ModelService
from serving.server.rpc.prediction_service import PredictionService, add_prediction_service
from serving.server.siblings import Siblings


class ModelServer:
    """A running server: `with ModelServer(options) as server: Client(server.target)`."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._manager = ModelManager(options.load)
        self._metrics = ServerMetrics()
        self._inference = Inference(
            self._manager,
            self._metrics,
            InferenceOptions(
                checks_method_name=options.checks_method_name,
                max_tensor_bytes=options.max_request_bytes,
            ),
        )
        self._grpc_server: grpc.Server | None = None
        self._threads: CallThreads | None = None
        self._health: Health | None = None
        self._http_server: HttpServer | None = None
        self._watch: ConfigWatch | None = None
        worker = options.worker
        self._siblings = Siblings(worker.directory, worker.number) if worker is not None else None
        self._port = 0

    @property
    def port(self) -> int:
        """The gRPC port that is listened on; 0 before the start."""
        return self._port

    @property
    def rest_port(self) -> int:
        """The HTTP port that is listened on; 0 when there is none."""
        return self._http_server.port if self._http_server else 0

    @property
    def target(self) -> str:
        """`host:port`, as a client takes it."""
        return f"{self._options.host}:{self._port}"

    @property
    def rest_target(self) -> str:
        """`host:port` of the REST side."""
        return f"{self._options.host}:{self.rest_port}"

    def summary(self) -> str:
        """Return the models and their available versions, for people."""
        return self._manager.summary()

    def start(self, cancel: threading.Event | None = None) -> None:
        """Load the models, then open the ports; returns early, with no port, once `cancel` is set.

        Raises ArtifactError for a base path that can't be right, UnavailableError for a model that can't be
        loaded, StatusError for a label that can't be given, and ConfigError for an address that can't be listened on.
        """
        models = self._first_models()
        try:
            self._manager.serve(models, cancel)
            if cancel is not None and cancel.is_set():
                return
            if self._options.config_file is not None and self._options.config_poll_seconds > 0:
                self._watch = ConfigWatch(
                    self._manager, self._options.config_file, self._options.config_poll_seconds, models
                )
                self._watch.start()
            if self._siblings is not None:
                self._siblings.listen(self._serve_reloaded, self._metrics.samples)
            self._open_ports()
        except BaseException:
            self.stop(drain_timeout_seconds=0)
            raise

    def stop(self, drain_timeout_seconds: float | None = None) -> None:
        """Take no new calls, let the running ones finish within the time, then free the models."""
        if drain_timeout_seconds is None:
            drain_timeout_seconds = self._options.drain_timeout_seconds
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        if self._siblings is not None:
            self._siblings.close()
        if self._health is not None:
            self._health.drain()
            self._health = None
        grpc_ended = self._grpc_server.stop(drain_timeout_seconds) if self._grpc_server is not None else None
        if self._http_server is not None:
            self._http_server.stop(drain_timeout_seconds)
            self._http_server = None
        if grpc_ended is not None:
            grpc_ended.wait()
            self._grpc_server = None
        if self._threads is not None:
            self._threads.close()
            self._threads = None
        self._manager.stop()

    def __enter__(self) -> ModelServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _reload(self, config: ModelServerConfig, cancel: threading.Event) -> None:
        """Serve what `config` lists, here and in the other workers."""
        self._manager.serve(models_of_config(config), cancel)
        # Also when the caller has gone meanwhile: what is served here by now must be served by all.
        if self._siblings is not None:
            self._siblings.reload(config)

    def _serve_reloaded(self, config: ModelServerConfig) -> None:
        self._manager.serve(models_of_config(config))

    def _metrics_page(self) -> str:
        parts = self._siblings.samples() if self._siblings is not None else []
        return prometheus_page(added([self._metrics.samples(), *parts]))

    def _first_models(self) -> tuple[ModelOptions, ...]:
        """Return the models to begin with: those that the other workers serve by now, where these were reloaded."""
        reloaded = self._siblings.reloaded() if self._siblings is not None else None
        if reloaded is not None:
            return models_of_config(reloaded)
        if self._options.config_file is not None:
            return read_model_config_file(self._options.config_file)
        return self._options.models

    def _open_ports(self) -> None:
        self._threads = call_threads(self._options.grpc)
        server, self._port = open_grpc_server(self._options, self._threads, self._register)
        self._grpc_server = server
        rest = self._options.rest
        if rest is not None:
            app = RestApp(self._inference, self._manager, rest, self._metrics_page)
            self._http_server = HttpServer(
                app,
                self._options.host,
                rest,
                self._options.max_request_bytes,
                shares_port=self._options.worker is not None,
            )
            self._http_server.start()
        server.start()

    def _register(self, server: grpc.Server) -> None:
        as_content = self._options.enable_serialization_as_tensor_content
        add_prediction_service(PredictionService(self._inference, self._options.grpc, as_content=as_content), server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(self._reload, self._manager), server)
        if self._options.grpc.has_health_service:
            self._health = Health(server)
