"""`python -m serving.server`: serve models over gRPC as TensorFlow Serving does."""

from __future__ import annotations

import logging
import queue
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
        one_line = " ".join(str(error).split())
        print(f"Failed to start server. Error: {one_line}", file=sys.stderr)
        return 1


def _serve(arguments: Sequence[str]) -> int:
    options = parse_flags(arguments)
    stop_requested = _stop_event_of_signals()
    server = ModelServer(options)
    server.start(stop_requested)
    if server.port:
        print(f"Serving {server.summary()} at {server.target} (gRPC)", file=sys.stderr, flush=True)
        stop_requested.wait()
        print("Stopping: running calls may finish", file=sys.stderr, flush=True)
    server.stop()
    return 0


def _stop_event_of_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set.

    Not by the handler itself: a second signal could interrupt `Event.set` in this same thread, and would then
    wait for ever for the lock that the first holds. `SimpleQueue.put` is safe to interrupt.
    """
    stop_requested = threading.Event()
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()

    def pass_on() -> None:
        signals.get()
        stop_requested.set()

    threading.Thread(target=pass_on, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: signals.put(number))
    return stop_requested


if __name__ == "__main__":
    sys.exit(main())
