"""Child processes that begin with TensorFlow and Beam loaded: `python -m …` without the seconds that importing takes.

A server imports the libraries, starts no thread, and forks itself for each command. The fork leaves the server's
family and becomes a child of the process that asked, with the arguments, environment, directory and files of its call:
pids, signals, exit codes, pipes and `os.wait4` are those of any child. It can ask for children of its own in the same
way. What it has not is an interpreter that starts, so tests of what starting does go without the fixture.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import socket
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARIES = ("tensorflow", "tf_keras", "tensorflow_recommenders", "apache_beam", "pyarrow.parquet", "scipy.sparse",
             "pydantic", "yaml", "rich.console", "optuna", "grpc")  # fmt: skip
MESSAGE_BYTES = 1 << 17  # arguments and environment
STREAMS = 3
PR_SET_CHILD_SUBREAPER = 36  # of prctl(2): orphans below this process become its children

plain_popen = subprocess.Popen  # before any test has put another in its place


class LoadedPython:
    """What asks a server for children of this process; at first it starts one, if it was given none."""

    def __init__(self, connection: socket.socket | None = None) -> None:
        self._connection = connection
        self._server: subprocess.Popen[bytes] | None = None
        self._one_at_a_time = threading.Lock()

    def fork(self, arguments: list[str], directory: str, environment: dict[str, str], streams: list[int]) -> int:
        """The pid of a new child; `arguments` follow the interpreter, `streams` become its 0, 1 and 2."""
        asked = json.dumps([arguments, directory, environment]).encode()
        prctl = ctypes.CDLL(None).prctl
        with self._one_at_a_time:
            connection = self._connection or self._started()
            prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            try:
                socket.send_fds(connection, [asked], streams)
                return int(connection.recv(64))
            finally:
                prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)

    def _started(self) -> socket.socket:
        self._connection, servers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.loaded_python", str(servers.fileno())]
        self._server = plain_popen(command, pass_fds=[servers.fileno()], cwd=ROOT)
        servers.close()
        return self._connection

    def end(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._server is not None:
            self._server.wait()


def popen_of(loaded: LoadedPython) -> type[subprocess.Popen]:
    """A Popen whose `python -m MODULE` and `python SCRIPT.py` are forks of the loaded process; all else is as ever."""

    class Popen(plain_popen):
        def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest):
            given = [] if isinstance(args, str | bytes | os.PathLike) else [os.fspath(one) for one in args]
            is_ours = given[:1] == [sys.executable] and (given[1] == "-m" or given[1].endswith(".py"))
            start_new_session = rest[-2]
            if not is_ours or executable or preexec_fn or pass_fds or start_new_session:
                super()._execute_child(args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest)
                return
            pipes = rest[3:9]  # the child's end and ours of stdin, ours and the child's of stdout and of stderr
            streams = [end if end != -1 else usual for usual, end in enumerate((pipes[0], pipes[3], pipes[5]))]
            environment = {os.fsdecode(k): os.fsdecode(v) for k, v in (os.environ if env is None else env).items()}
            self.pid = loaded.fork(given[1:], os.fspath(cwd or Path.cwd()), environment, streams)
            self._child_created = True
            self._close_pipe_fds(*pipes)

    return Popen


def serve(connection: socket.socket) -> list[str]:
    """Fork a child for every message; returns in each child what it is to run, and ends with the other side."""
    while True:
        room = socket.CMSG_LEN(STREAMS * array.array("i").itemsize)
        message, ancillary, _, _ = connection.recvmsg(MESSAGE_BYTES, room)
        if not message:
            os._exit(0)
        streams = array.array("i", ancillary[0][2])
        reader, writer = os.pipe()
        if between := os.fork():
            os.close(writer)
            os.waitpid(between, 0)  # whose end hands its child over
            connection.send(os.read(reader, 64))
            for one in (reader, *streams):
                os.close(one)
        elif child := os.fork():
            os.write(writer, str(child).encode())
            os._exit(0)
        else:
            for one in (reader, writer, connection.detach()):
                os.close(one)
            arguments, directory, environment = json.loads(message)
            take_over(directory, environment, streams)
            return with_own_server(arguments)


def take_over(directory: str, environment: dict[str, str], streams: array.array[int]) -> None:
    """What a new process gets from the one that starts it."""
    for usual, end in enumerate(streams):
        os.dup2(end, usual)
        os.close(end)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)


def with_own_server(arguments: list[str]) -> list[str]:
    """While there is one thread: a fork that serves the children that this process will ask for."""
    own, servers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork():
        servers.close()
        subprocess.Popen = popen_of(LoadedPython(own))
        return arguments
    own.close()
    nothing = os.open(os.devnull, os.O_RDWR)
    for usual in range(STREAMS):
        os.dup2(nothing, usual)
    os.close(nothing)
    return serve(servers)


def main() -> None:
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # forks share these pages
    what, *arguments = serve(socket.socket(fileno=int(sys.argv[1])))
    if what == "-m":
        sys.path[0], sys.argv = os.getcwd(), arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0], sys.argv = str(Path(what).resolve().parent), [what, *arguments]
        runpy.run_path(what, run_name="__main__")


if __name__ == "__main__":
    main()
