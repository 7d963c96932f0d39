"""Thousands of connections, and bodies that swell, against a server in a process of its own: its memory is bounded."""

import gzip
import http.client
import resource
import socket
import threading
import time

import grpc
import numpy as np
import pytest

from benchmarks.serving.process import ServerProcess
from tests.serving.conftest import Stubs
from tests.serving.raw_http2 import RawHttp2
from tests.serving.running_server import free_port

NUM_CONNECTIONS = 10_000
# What a test process and the server need beside the connections.
OTHER_FILES = 500
# What an open gRPC connection may cost the server in the mean; REST's cost less.
BYTES_PER_CONNECTION = 100_000
MAX_REQUEST_BYTES = 2**24
BODY_BYTES = 4 * 2**20
# A list of the text "[],", three bytes, takes 64 bytes of Python: this many times its text.
SWELLING = 64 / 3


@pytest.fixture
def most_files():
    """As many open files as this process may have; restored afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield 2**20 if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def judge(add_version):
    base_path, rest_port = add_version("judge", 1, "judge"), free_port()
    flags = [f"--model_base_path={base_path}", "--model_name=judge", f"--rest_api_port={rest_port}"]
    flags += [f"--max_request_bytes={MAX_REQUEST_BYTES}"]
    with ServerProcess(flags, core=None) as server:
        yield server, rest_port


def halved_by_grpc(target):
    stubs = Stubs(target, [("grpc.use_local_subchannel_pool", 1)])
    try:
        return stubs.predict("judge", "halve", timeout=60, x=np.float32([3])).outputs["y"].float_val[0]
    finally:
        stubs.channel.close()


def asked_by_rest(port, body=b'{"signature_name": "halve", "instances": [3]}'):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("POST", "/v1/models/judge:predict", body)
    response = connection.getresponse()
    found = response.status, response.read()
    connection.close()
    return found


@pytest.mark.slow
def test_ten_thousand_open_connections_cost_little_and_keep_nobody_out(judge, most_files):
    server, rest_port = judge
    assert halved_by_grpc(server.target) == 1.5
    assert asked_by_rest(rest_port)[0] == 200
    before_bytes = server.memory_bytes()
    grpc_port = int(server.target.rpartition(":")[2])
    number = min(NUM_CONNECTIONS, most_files - OTHER_FILES)
    held = []
    try:
        for i in range(number // 2):
            held.append(RawHttp2(grpc_port))
            held.append(socket.create_connection(("127.0.0.1", rest_port), timeout=60))
            if i % 2:
                held[-1].sendall(b"POST /v1/models/judge:predict HTTP/1.1\r\nHost: x\r\n")  # never says the rest
        assert halved_by_grpc(server.target) == 1.5
        assert asked_by_rest(rest_port)[0] == 200
        grown_bytes = server.memory_bytes() - before_bytes
        print(f"{len(held)} connections: {grown_bytes / 1e6:.0f} MB more")
        assert grown_bytes < number * BYTES_PER_CONNECTION
    finally:
        for connection in held:
            connection.close()
    assert halved_by_grpc(server.target) == 1.5
    assert asked_by_rest(rest_port)[0] == 200


@pytest.mark.slow
def test_bodies_that_swell_are_read_one_at_a_time_while_others_are_answered(judge):
    server, rest_port = judge
    assert halved_by_grpc(server.target) == 1.5
    before_bytes = server.most_memory_bytes()
    head = b'{"signature_name": "halve", "instances": ['
    bomb = head + b"[]," * ((BODY_BYTES - len(head)) // 3) + b"1]}"
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(asked_by_rest(rest_port, bomb)[0])) for _ in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert halved_by_grpc(server.target) == 1.5
        time.sleep(0.2)
    assert statuses == [400] * 6
    grown_bytes = server.most_memory_bytes() - before_bytes
    print(f"6 bodies of {BODY_BYTES / 1e6:.0f} MB: {grown_bytes / 1e6:.0f} MB more at the most")
    # Two or three times one body's share was seen, as memory that was freed is not all used again; at once it is six.
    assert grown_bytes < 4 * SWELLING * BODY_BYTES
    assert asked_by_rest(rest_port)[0] == 200


@pytest.mark.slow
def test_a_body_beyond_the_limit_is_refused_without_being_held(judge):
    server, rest_port = judge
    before_bytes = server.most_memory_bytes()
    connection = socket.create_connection(("127.0.0.1", rest_port), timeout=60)
    head = f"POST /v1/models/judge:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {2**34}\r\n\r\n"
    connection.sendall(head.encode())
    assert b" 413 " in connection.recv(100)
    connection.close()
    assert server.most_memory_bytes() - before_bytes < 50e6
    with pytest.raises(grpc.RpcError) as caught:
        Stubs(server.target, [("grpc.max_send_message_length", -1)]).predict(
            "judge", "halve", timeout=60, x=np.zeros(MAX_REQUEST_BYTES // 2, np.float32)
        )
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert halved_by_grpc(server.target) == 1.5


@pytest.mark.slow
def test_a_message_that_swells_when_it_is_unpacked_is_refused_before_it_has(judge):
    server, _ = judge
    assert halved_by_grpc(server.target) == 1.5
    before_bytes = server.most_memory_bytes()
    packed = gzip.compress(bytes(3 * MAX_REQUEST_BYTES))
    assert len(packed) < 60_000
    connection = RawHttp2(int(server.target.rpartition(":")[2]))
    connection.call(packed, encoding="gzip")
    assert connection.read_until(b"grpc-status")
    connection.close()
    assert server.most_memory_bytes() - before_bytes < 2 * MAX_REQUEST_BYTES
    assert halved_by_grpc(server.target) == 1.5
