"""Whatever keeps an answer over REST from coming, the call ends at its deadline."""

import asyncio
import socket
import threading
import time

import grpc
import pytest

from serving.client import AsyncClient, Client, ServingError
from tests.serving.rest_gateway import Gateway


@pytest.fixture(scope="module")
def gateway(shared_server):
    made = Gateway(shared_server.target)
    yield made
    made.shutdown()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n"


@pytest.mark.parametrize("at_once", [b"", HEAD + b"X-Slow: ", HEAD + b"\r\n"], ids=["all", "headers", "body"])
def test_a_server_that_sends_a_byte_at_a_time_is_left_at_the_deadline(at_once):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip():
            connection, _ = listener.accept()
            connection.recv(1 << 16)
            connection.sendall(at_once)
            try:
                for _ in range(100):
                    connection.sendall(b"H")
                    time.sleep(0.05)
            except OSError:
                pass

        threading.Thread(target=drip, daemon=True).start()
        start = time.monotonic()
        with (
            Client(f"http://127.0.0.1:{listener.getsockname()[1]}", 0.5) as client,
            pytest.raises(ServingError) as caught,
        ):
            client.status("m")
        assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - start < 4  # it sends for 5 s


def test_an_address_that_never_answers_leaves_time_for_the_names_next_one(gateway, monkeypatch):
    port = int(gateway.url.rpartition(":")[2])
    with socket.socket() as silent:
        silent.bind(("127.0.0.2", port))
        silent.listen(0)  # and nobody accepts: further connections wait for ever
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.2", port))
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        addresses = [(*kind, (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        start = time.monotonic()
        with Client(f"http://two.test:{port}", 6) as client:
            assert [state.version for state in client.status("adder")] == [7, 3]
        assert 2.5 < time.monotonic() - start < 6
        with Client(f"http://two.test:{port}", 1) as client:
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses[:1] * 3)
            with pytest.raises(ServingError, match="DEADLINE_EXCEEDED"):
                client.status("adder")
        for filler in fillers:
            filler.close()


def test_a_name_that_is_looked_up_for_long_ends_at_the_deadline_and_costs_one_thread(gateway, monkeypatch):
    port, name_server_answers = int(gateway.url.rpartition(":")[2]), threading.Event()
    real = socket.getaddrinfo

    def look_up(host, *others, **named):
        name_server_answers.wait(60)
        return real("127.0.0.1", *others, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with Client(f"http://slow.test:{port}", 0.3) as client:
        for _ in range(3):
            with pytest.raises(ServingError) as caught:
                client.status("adder")
            assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert sum(thread.name == "host-name" for thread in threading.enumerate()) == 1
    with Client(f"http://slow.test:{port}", 20) as client:
        name_server_answers.set()
        assert [state.version for state in client.status("adder")] == [7, 3]
    monkeypatch.setattr(socket, "getaddrinfo", real)
    with Client("http://no-such-host.invalid:8501", 20) as client, pytest.raises(ServingError) as caught:
        client.status("adder")
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_an_asyncio_call_ends_at_its_deadline_though_its_thread_waits():
    async def run(target):
        async with AsyncClient(target, 0.3) as client:
            return await asyncio.gather(*(client.status("m") for _ in range(200)), return_exceptions=True)

    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        start = time.monotonic()
        errors = asyncio.run(run(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        assert time.monotonic() - start < 5
    assert {error.code for error in errors} == {grpc.StatusCode.DEADLINE_EXCEEDED}
