"""What a server is told: its models, and how to serve them."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from serving.server.models.policies import LatestVersions, VersionPolicy
from serving.server.runtime.runtime_options import RuntimeOptions


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """One model: the name that requests use, and the directory that holds a folder per integer version.

    `version_labels` are names for versions, as pairs.
    """

    name: str
    base_path: Path
    version_policy: VersionPolicy = LatestVersions()  # noqa: RUF009  # frozen
    version_labels: tuple[tuple[str, int], ...] = ()


@dataclasses.dataclass(frozen=True)
class LoadOptions:
    """How versions are found and loaded.

    `poll_wait_seconds` is the time between two looks at the file system: 0 looks once, a negative value
    never. A label can be given to an available version only, or with `allows_early_labels` to any, as long as it
    names no other, or with `allows_any_labels` to any. Warm-up requests are replayed `num_warm_up_iterations` times.
    """

    poll_wait_seconds: float = 1.0
    max_num_load_retries: int = 5
    load_retry_interval_seconds: float = 60.0
    warms_up: bool = True
    num_warm_up_iterations: int = 1
    allows_early_labels: bool = False
    allows_any_labels: bool = False
    runtime: RuntimeOptions = RuntimeOptions()  # noqa: RUF009  # frozen


@dataclasses.dataclass(frozen=True)
class RestOptions:
    """The HTTP side. `port` 0 takes any free one; `metrics_path` None keeps the metrics to the server."""

    port: int = 8501
    num_threads: int = 4 * (os.cpu_count() or 1)
    timeout_seconds: float = 30.0
    sends_cors_headers: bool = False
    metrics_path: str | None = None


@dataclasses.dataclass(frozen=True)
class TlsOptions:
    """PEM texts. With `verifies_clients` a client needs a certificate that `custom_ca` has signed."""

    server_key: str
    server_cert: str
    custom_ca: str = ""
    verifies_clients: bool = False


@dataclasses.dataclass(frozen=True)
class GrpcOptions:
    """The gRPC side, but for its port.

    `max_threads` calls are answered at once; `max_waiting_calls` more may be in memory, whole or still being sent.
    `num_threads` take calls as long as none of these waits for a batch (0: as many as are answered at once).
    Calls beyond `max_concurrent_calls`, or beyond `max_unread_bytes` of answers that wait to be read, end with
    RESOURCE_EXHAUSTED.
    """

    max_threads: int = 4 * (os.cpu_count() or 1)
    num_threads: int = 0
    max_waiting_calls: int = 64
    max_concurrent_calls: int = 4096
    max_unread_bytes: int = 2**30
    socket_path: Path | None = None
    tls: TlsOptions | None = None
    has_health_service: bool = False
    channel_arguments: tuple[tuple[str, int | str], ...] = ()


@dataclasses.dataclass(frozen=True)
class WorkerOptions:
    """One of several processes of a server: its number, and the directory where they find each other."""

    directory: Path
    number: int


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """A whole server. `port` 0 takes any free one; `rest` None opens no HTTP port.

    The models are those given here, or those of `config_file`, which is read again every `config_poll_seconds` (0:
    never). No request may be larger than `max_request_bytes`. A `worker` lets others listen on its ports.
    """

    models: tuple[ModelOptions, ...]
    host: str = "127.0.0.1"
    port: int = 8500
    config_file: Path | None = None
    config_poll_seconds: float = 0.0
    load: LoadOptions = LoadOptions()
    grpc: GrpcOptions = GrpcOptions()
    rest: RestOptions | None = None
    max_request_bytes: int = 64 * 2**20
    enable_serialization_as_tensor_content: bool = False
    checks_method_name: bool = False
    drain_timeout_seconds: float = 20.0
    worker: WorkerOptions | None = None
