"""`python -m serving.server`: serve models over gRPC and REST as TensorFlow Serving does."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import resource
import sys
import threading
from collections.abc import Sequence

from serving.server.parser import make_parser
from serving.server.signals import stop_event_of_signals
from serving.server.workers import Supervisor, stop_with_supervisor
from tfrec.errors import ConfigError, TfrecError

_MOST_FILES = 65_536


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        flags = make_parser().parse(arguments)
        _allow_many_connections()
        return _supervise(arguments, flags) if flags.workers > 1 else _serve(arguments, flags.supervisor_fd)
    except TfrecError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2


def _supervise(arguments: Sequence[str], flags: argparse.Namespace) -> int:
    ports = [flags.port, *([flags.rest_api_port] if flags.rest_api_port else [])]
    if flags.grpc_socket_path:
        raise ConfigError("--grpc_socket_path: a Unix socket can't be shared; leave it out, or take --workers=1")
    supervisor = Supervisor(arguments, flags.workers, flags.host, ports, flags.drain_timeout_seconds)
    return supervisor.run(f"{flags.workers} workers serve at {flags.host}:{supervisor.ports[0]} (gRPC)")


def _serve(arguments: Sequence[str], supervisor_fd: int) -> int:
    import tensorflow as tf

    from serving.server.flags import parse_flags
    from serving.server.model_server import ModelServer
    from serving.server.models.manager import UnavailableError
    from serving.server.status import StatusError

    tf.get_logger().setLevel(logging.ERROR)
    options = parse_flags(arguments)
    stop_requested = stop_event_of_signals()
    # What was imported stays: the collector need not look through it again. Models come later, since they also go.
    gc.collect()
    gc.freeze()
    server = ModelServer(options)
    try:
        server.start(stop_requested)
    except (UnavailableError, StatusError) as error:
        one_line = " ".join((error.message if isinstance(error, StatusError) else str(error)).split())
        print(f"Failed to start server. Error: {one_line}", file=sys.stderr)
        return 1
    if server.port:
        rest = f", http://{options.host}:{server.rest_port} (REST)" if server.rest_port else ""
        print(f"Serving {server.summary()} at {server.target} (gRPC){rest}", file=sys.stderr, flush=True)
        if supervisor_fd >= 0:
            os.write(supervisor_fd, b"1")
            threading.Thread(target=stop_with_supervisor, args=(supervisor_fd,), daemon=True).start()
        stop_requested.wait()
        print("Stopping: running calls may finish", file=sys.stderr, flush=True)
    server.stop()
    return 0


def _allow_many_connections() -> None:
    """Let this process open as many files as it may: each connection is one, and 1,024 is a usual beginning."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if most == resource.RLIM_INFINITY else min(most, _MOST_FILES)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


if __name__ == "__main__":
    sys.exit(main())
