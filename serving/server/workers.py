"""Several server processes on the same ports: Python runs one thread at a time, so one process fills one core.

The supervisor loads nothing. It keeps the ports, starts the workers, starts one again that has died, and ends them all.
The kernel spreads connections over the workers, not requests: clients should open more than a few.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from tfrec.errors import ConfigError

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.1
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0
_SECONDS_AFTER_DRAIN = 10.0


class Worker:
    """One server process. The pipe to it tells it when its supervisor is gone, and tells us when it serves."""

    def __init__(self, arguments: Sequence[str], number: int) -> None:
        self.number = number
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "serving.server", *arguments]
        command += [f"--worker_number={number}", f"--supervisor_fd={theirs.fileno()}"]
        # A session of its own: Ctrl-C comes to the supervisor alone, which passes it on.
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True)
        theirs.close()
        self._pipe = ours
        self.is_ready = False

    def look(self) -> None:
        """See whether it has become ready."""
        if not self.is_ready and select.select([self._pipe], [], [], 0)[0]:
            with contextlib.suppress(OSError):
                self.is_ready = bool(self._pipe.recv(1))

    def close(self) -> None:
        """Give up the pipe; a worker that still runs takes it as the sign to end."""
        self._pipe.close()


class Supervisor:
    """Runs `num_workers` servers with the same arguments until SIGTERM or SIGINT."""

    def __init__(
        self, arguments: Sequence[str], num_workers: int, host: str, ports: Sequence[int], drain_timeout_seconds: float
    ) -> None:
        """Reserve `ports`, gRPC's and REST's; raises ConfigError for one that is taken."""
        self._drain_timeout_seconds = drain_timeout_seconds
        self._sockets = [_reserve(host, port) for port in ports]
        self.ports = [reserved.getsockname()[1] for reserved in self._sockets]
        names = ("--port", "--rest_api_port")
        # Later flags win over the same ones before.
        taken = [f"{name}={port}" for name, port in zip(names, self.ports, strict=False)]
        self._arguments = [*arguments, *taken, "--workers=1"]
        self._num_workers = num_workers
        self._workers: list[Worker] = []
        self._restarts: list[tuple[float, int]] = []
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._is_stopping = False

    def run(self, told: str) -> int:
        """Serve; return the exit code. `told` is printed to stderr when all workers serve."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request_stop)
        with tempfile.TemporaryDirectory(prefix="tfrec-server-") as directory:
            self._arguments.append(f"--worker_directory={directory}")
            self._workers = [Worker(self._arguments, number) for number in range(self._num_workers)]
            try:
                code = self._wait_until_ready()
                if code is None and not self._is_stopping:
                    print(told, file=sys.stderr, flush=True)
                    self._watch()
                return code or 0
            finally:
                self._end()

    def _request_stop(self, *_: object) -> None:
        self._is_stopping = True

    def _wait_until_ready(self) -> int | None:
        """Return None when all serve, or the exit code of the first that can't."""
        while not self._is_stopping:
            for worker in self._workers:
                worker.look()
                code = worker.process.poll()
                if code is not None:
                    return code or 1
            if all(worker.is_ready for worker in self._workers):
                return None
            time.sleep(_LOOK_SECONDS)
        return None

    def _watch(self) -> None:
        while not self._is_stopping:
            for worker in list(self._workers):
                worker.look()
                code = worker.process.poll()
                if code is None:
                    continue
                _log.warning("worker %d ended with %d; starting another", worker.process.pid, code)
                worker.close()
                self._workers.remove(worker)
                # One that never came to serve would do no better at once.
                self._pause_seconds = (
                    _FIRST_PAUSE_SECONDS if worker.is_ready else min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
                )
                self._restarts.append((time.monotonic() + self._pause_seconds, worker.number))
            for restart in [restart for restart in self._restarts if restart[0] <= time.monotonic()]:
                self._restarts.remove(restart)
                self._workers.append(Worker(self._arguments, restart[1]))
            time.sleep(_LOOK_SECONDS)

    def _end(self) -> None:
        """Let all drain at the same time; kill what is left after that."""
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.process.terminate()
        end_seconds = time.monotonic() + self._drain_timeout_seconds + _SECONDS_AFTER_DRAIN
        for worker in self._workers:
            try:
                worker.process.wait(max(0.0, end_seconds - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.warning("worker %d did not end in time and is killed", worker.process.pid)
                worker.process.kill()
                worker.process.wait()
            worker.close()
        for reserved in self._sockets:
            reserved.close()


def _reserve(host: str, port: int) -> socket.socket:
    """Return a socket that keeps a port for this user's processes; it takes no connections itself."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    try:
        with socket.socket(family, kind, protocol) as alone:
            # First without sharing, which fails where another server is there that would share.
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
            free = alone.getsockname()
        reserved = socket.socket(family, kind, protocol)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(free)
    except OSError as error:
        raise ConfigError(f"can't listen on {host}:{port}: {error.strerror}; choose another port") from error
    return reserved


def stop_with_supervisor(supervisor_fd: int) -> None:
    """Block until the supervisor has gone, then end this process as SIGTERM does."""
    with contextlib.suppress(OSError):
        while os.read(supervisor_fd, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
