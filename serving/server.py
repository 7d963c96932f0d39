"""`python -m serving.server`: serve models over gRPC as TensorFlow Serving does."""

from __future__ import annotations

import logging
import signal
import socket
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

    Not by a Python handler: such a handler runs in the main thread alone, and that one waits for the event. The
    kernel may hand the signal to any of TensorFlow's and gRPC's threads, and then nothing would wake the main thread
    to run it. The interpreter's own handler writes to the wake-up socket in whichever thread it is; a thread reads
    there.
    """
    stop_requested = threading.Event()
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)

    def pass_on(receiver: socket.socket, _sender: socket.socket) -> None:  # the thread keeps both ends open
        while receiver.recv(1):
            stop_requested.set()

    threading.Thread(target=pass_on, args=(receiver, sender), name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return stop_requested


if __name__ == "__main__":
    sys.exit(main())
