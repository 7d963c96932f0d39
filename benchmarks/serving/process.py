"""A model server as a process of its own, on a core of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from benchmarks.training.processes import ROOT

_READY = re.compile(r"^Serving .* at (\S+:\d+) \(gRPC\)")
_LOOK_SECONDS = 0.05


class ServerProcess:
    """`with ServerProcess(flags, core) as server: server.target`."""

    def __init__(self, flags: Sequence[str], core: int | None) -> None:
        self._flags = flags
        self._core = core
        self.target = ""

    def __enter__(self) -> ServerProcess:
        pin = [] if self._core is None else ["taskset", "-c", str(self._core)]
        command = [*pin, sys.executable, "-m", "serving.server", "--port=0", *self._flags]
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"}
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
        assert self._process.stderr is not None
        said = []
        for line in self._process.stderr:
            said.append(line)
            if ready := _READY.match(line):
                self.target = ready[1]
                return self
        sys.exit(f"benchmarks: {' '.join(command)} did not start:\n{''.join(said)}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()

    def wait_for_version(self, model: str, version: int) -> None:
        """Return once that version of `model` answers."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        with grpc.insecure_channel(self.target) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            while True:
                found = stub.GetModelStatus(request, timeout=60).model_version_status
                if any(entry.version == version and entry.state == available for entry in found):
                    return
                time.sleep(_LOOK_SECONDS)

    def memory_bytes(self) -> int:
        """Return what the process holds in memory now."""
        return self._status_bytes("VmRSS")

    def most_memory_bytes(self) -> int:
        """Return the most that the process has held in memory so far."""
        return self._status_bytes("VmHWM")

    def _status_bytes(self, name: str) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(rf"{name}:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def cpu_seconds(self) -> float:
        """Return the CPU time that the process has taken."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
