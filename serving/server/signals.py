"""SIGTERM and SIGINT, for a process whose threads are TensorFlow's and gRPC's too."""

from __future__ import annotations

import signal
import socket
import threading


def stop_event_of_signals() -> threading.Event:
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
        while received := receiver.recv(1):
            if received[0] in (signal.SIGTERM, signal.SIGINT):
                stop_requested.set()

    threading.Thread(target=pass_on, args=(receiver, sender), name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return stop_requested
