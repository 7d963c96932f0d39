"""Several server processes on one port."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import grpc
import pytest
from tensorflow_serving.apis import model_management_pb2

from serving.server.__main__ import main as serve_main
from serving.server.file_flags import METRICS_PATH
from tests.serving.conftest import Stubs


def children(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in found.split()]


def sum_over_new_connection(target, model="adder"):
    # A subchannel of its own, or all channels of a process share one connection.
    options = [("grpc.use_local_subchannel_pool", 1)]
    stubs = Stubs(target, options)
    try:
        return stubs.sum(1.0, model=model)
    finally:
        stubs.channel.close()


def free_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


@pytest.fixture
def supervised(add_version, tmp_path):
    """Two workers over version 1 of `adder`; the supervisor, its gRPC target, REST's port."""
    base_path = add_version("adder", 1, "adder")
    (tmp_path / "monitoring.config").write_text("prometheus_config { enable: true }")
    rest_port = free_port()
    command = [sys.executable, "-m", "serving.server", "--port=0", "--workers=2", f"--model_base_path={base_path}"]
    command += [f"--rest_api_port={rest_port}", f"--monitoring_config_file={tmp_path}/monitoring.config"]
    command += ["--model_name=adder", "--file_system_poll_wait_seconds=0.1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if ready := re.search(r"^2 workers serve at (\S+:\d+)", line):
            # Read on, or a full pipe stops them.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield process, ready[1], rest_port
            break
    else:
        pytest.fail("".join(lines))
    process.kill()
    process.wait()


def ok_count(rest_port):
    connection = http.client.HTTPConnection("127.0.0.1", rest_port, timeout=20)
    connection.request("GET", METRICS_PATH)
    page = connection.getresponse().read().decode()
    connection.close()
    found = re.search(r'request_count\{model_name="adder",status="OK"\} (\d+)', page)
    return int(found[1]) if found else 0


def reload_other(target, base_path):
    stubs = Stubs(target)
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(name="other", base_path=str(base_path))
    stubs.models.HandleReloadConfigRequest(request, timeout=60)
    stubs.channel.close()


@pytest.mark.slow
def test_workers_share_a_port_count_and_reload_together_come_back_and_end_together(supervised, add_version, eventually):
    process, target, rest_port = supervised
    workers = children(process.pid)
    assert len(workers) == 2
    assert {sum_over_new_connection(target) for _ in range(20)} == {(1.0, 1)}
    assert {ok_count(rest_port) for _ in range(6)} == {20}

    reload_other(target, add_version("other", 4, "adder_plus_100"))
    assert {sum_over_new_connection(target, "other") for _ in range(10)} == {(101.0, 4)}

    os.kill(workers[0], signal.SIGKILL)
    eventually(lambda: workers[0] not in children(process.pid) and len(children(process.pid)) == 2, seconds=60)
    assert {sum_over_new_connection(target, "other") for _ in range(10)} == {(101.0, 4)}
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    with pytest.raises(grpc.RpcError):
        sum_over_new_connection(target, "other")


@pytest.mark.slow
def test_workers_end_when_their_supervisor_is_killed(supervised, eventually):
    process, _, _ = supervised
    workers = children(process.pid)
    process.kill()
    process.wait()
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") and is_running(pid) for pid in workers), seconds=60)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_workers_that_cannot_start_end_the_supervisor(capfd, tmp_path):
    started = time.monotonic()
    assert serve_main(["--workers=2", "--port=0", f"--model_base_path={tmp_path}/gone"]) == 2
    assert "is not a directory" in capfd.readouterr().err
    assert time.monotonic() - started < 120


def test_a_port_that_is_taken_is_an_error_before_any_worker_starts(capsys, shared_server):
    assert serve_main(["--workers=2", f"--port={shared_server.port}", "--model_base_path=/x"]) == 2
    assert f"can't listen on 127.0.0.1:{shared_server.port}" in capsys.readouterr().err
