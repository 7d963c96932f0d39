"""`python -m serving.server` on free ports, as long as a test needs it."""

import contextlib
import socket
import subprocess
import sys

import grpc


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running_server(*flags):
    """Serve with these flags, and a port of its own; yield "host:port"."""
    target = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "serving.server", f"--port={target.rpartition(':')[2]}", *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with grpc.insecure_channel(target, options=[("grpc.max_reconnect_backoff_ms", 500)]) as channel:
            # Where many share the cores, importing TensorFlow takes minutes.
            grpc.channel_ready_future(channel).result(timeout=600)
        yield target
    finally:
        process.kill()
        process.wait()
