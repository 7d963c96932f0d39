"""`python -m serving.server`: serve models over gRPC as TensorFlow Serving does."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Sequence

import tensorflow as tf

from serving.flags import parse_flags
from serving.model_manager import UnavailableError
from serving.model_server import ModelServer
from tfrec.errors import TfrecError

__all__ = ["ModelServer", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    tf.get_logger().setLevel(logging.ERROR)
    try:
        return _serve(sys.argv[1:] if arguments is None else arguments)
    except TfrecError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except UnavailableError as error:
        print(f"Failed to start server. Error: {error}", file=sys.stderr)
        return 1


def _serve(arguments: Sequence[str]) -> int:
    options = parse_flags(arguments)
    stop_requested = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_requested.set())
    server = ModelServer(options)
    server.start(stop_requested)
    if server.port:
        print(f"Serving {server.summary()} at {server.target} (gRPC)", file=sys.stderr, flush=True)
        stop_requested.wait()
        print("Stopping: running calls may finish", file=sys.stderr, flush=True)
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
