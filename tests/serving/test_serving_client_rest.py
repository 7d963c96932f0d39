"""The client over REST says what it says over gRPC."""

import asyncio
import socket
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import pytest

from serving.client import AsyncClient, Client, ClientOptions, Hedging, Retries, ServingError
from tests.serving.rest_gateway import Gateway
from tests.serving.tcp_proxy import TcpProxy
from tfrec.errors import ConfigError


@pytest.fixture(scope="module")
def gateway(shared_server):
    made = Gateway(shared_server.target)
    yield made
    made.shutdown()


@pytest.fixture
def both(shared_server, gateway):
    """A client of the server's gRPC port and one of its REST port, or of the gateway where it has none."""
    port = getattr(shared_server, "rest_port", 0)
    url = f"http://127.0.0.1:{port}" if port else gateway.url
    with Client(shared_server.target, 20) as by_grpc, Client(url, 20) as by_rest:
        yield by_grpc, by_rest


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.recommend("recommender", user="u1", k=3, exclude=["i3"], boost=0.5, genres=["a", "b"]),
        lambda c: c.recommend("recommender", user="new", allow=["i2"], exclude_seen=False, is_weekend=True),
        lambda c: c.recommend_batch("recommender", ["new", "u1"], k=2, exclude=[["i0"], []], year=[2000, 2001]),
        lambda c: c.rank("recommender", user="u1", candidates=["i1", "i3", "i2"]),
        lambda c: c.explain("recommender", "u1", ["i5", "i2"]),
        lambda c: c.items("recommender", ["i3", "?"]),
        lambda c: c.titles("recommender", ["i3"]),
        lambda c: c.status("adder"),
        lambda c: c.metadata("recommender").version,
        lambda c: c.recommend("recommender/versions/1", user="new", k=1),
    ],
)
def test_rest_and_grpc_give_the_same(both, ask):
    by_grpc, by_rest = both
    assert ask(by_rest) == ask(by_grpc)


def test_defaults_and_arrays_are_the_same_over_both(both):
    found, wanted = (client.metadata("recommender").signatures["recommend"] for client in reversed(both))
    assert found.inputs == wanted.inputs
    assert set(found.outputs) == set(wanted.outputs)
    assert {name: array.tolist() for name, array in found.defaults.items()} == {
        name: [[text.decode() for text in row] for row in array.tolist()] if array.dtype == object else array.tolist()
        for name, array in wanted.defaults.items()
    }
    sums = [client.predict("adder", {"a": [1, 2]}) for client in both]
    np.testing.assert_array_equal(sums[0].outputs["sum"], sums[1].outputs["sum"])
    assert sums[0].version == sums[1].version == 7


def test_errors_have_the_codes_and_words_of_grpc(both):
    for client in both:
        with pytest.raises(ServingError) as caught:
            client.recommend("missing", user="new")
        assert caught.value.code is grpc.StatusCode.NOT_FOUND
        assert str(caught.value) == (
            f"metadata of model 'missing' at {client.target}: NOT_FOUND: Servable not found for request: "
            "Latest(missing); check the model's name against the server's --model_name"
        )
        with pytest.raises(ConfigError, match="has no signature 'recommend'"):
            client.recommend("adder", user="new")


def test_an_answer_names_the_version_whose_signature_was_asked(gateway):
    with Client(gateway.url, 20) as client:
        assert client.recommend("recommender", user="new", k=1).version == 1
    assert gateway.requests[-1] == "/v1/models/recommender/versions/1:predict"


def test_connections_are_kept_and_one_that_the_server_closed_is_opened_again(shared_server):
    kept, closing = Gateway(shared_server.target), Gateway(shared_server.target, protocol="HTTP/1.0")
    for gateway in (kept, closing):
        with Client(gateway.url, 20) as client:
            assert [client.titles("recommender", ["i1"]) for _ in range(3)] == [["Title of [i1]"]] * 3
        gateway.shutdown()
    assert kept.connections == 1
    assert closing.connections == len(closing.requests) == 4
    proxy = TcpProxy(Gateway(shared_server.target).url.removeprefix("http://"))
    with Client(f"http://{proxy.target}", 20, options=ClientOptions(retries=Retries(attempts=1))) as client:
        client.titles("recommender", ["i1"])
        proxy.kill()
        proxy.revive()
        assert client.titles("recommender", ["i2"]) == ["Title of [i2]"]
    proxy.kill()


def test_a_rest_port_that_dies_or_hangs_is_left_for_another(gateway):
    address = gateway.url.removeprefix("http://")
    proxies = [TcpProxy(address), TcpProxy(address)]
    target = [f"http://{proxy.target}" for proxy in proxies]
    hedging = ClientOptions(hedging=Hedging(after_seconds=0.1), retries=Retries(extra_share=1))
    with Client(target, 20) as client, Client(target, 20, options=hedging) as hedged:
        for _ in range(4):
            client.titles("recommender", ["i1"])
            hedged.titles("recommender", ["i1"])
        proxies[0].pause()
        start = time.monotonic()
        for _ in range(4):
            assert hedged.titles("recommender", ["i1"]) == ["Title of [i1]"]
        assert time.monotonic() - start < 10
        proxies[0].kill()
        for _ in range(4):
            assert client.titles("recommender", ["i1"]) == ["Title of [i1]"]
    proxies[1].kill()


def test_bytes_travel_as_they_are(both):
    sent = [b"\xff\x00", b"", "\u00fc".encode()]
    for client in both:
        answer = client.predict("judge", {"raw": sent}, "echo")
        assert answer.outputs["raw_bytes"].tolist() == sent
    with pytest.raises(ConfigError, match="inputs: got a set; JSON takes numbers, booleans, text and bytes"):
        both[1].predict("judge", {"raw": [{1}]}, "echo")


def test_what_is_no_model_server_is_an_error_of_one_line():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n<html>\n</html>")

        threading.Thread(target=answer, daemon=True).start()
        with (
            Client(f"http://127.0.0.1:{listener.getsockname()[1]}", 5) as client,
            pytest.raises(ServingError) as caught,
        ):
            client.status("m")
    assert "UNKNOWN: HTTP 200, and no JSON of TF Serving: b'<html>" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://a", "http://:1", "http://a:99999999", "http://a:1/v1"])
def test_an_odd_url_is_an_error(url):
    with pytest.raises(ConfigError, match="expected http://HOST:PORT"):
        Client(url)


def test_asyncio_calls_give_what_blocking_ones_do(both):
    by_grpc, by_rest = both

    async def run():
        async with AsyncClient(by_rest.target, 20) as client:
            calls = [client.recommend("recommender", user=f"u{i}", k=3) for i in range(100)]  # more than threads
            return await asyncio.gather(*calls, client.recommend("missing", user="new"), return_exceptions=True)

    *found, error = asyncio.run(run())
    assert found == [by_grpc.recommend("recommender", user=f"u{i}", k=3) for i in range(100)]
    assert (type(error), error.code) == (ServingError, grpc.StatusCode.NOT_FOUND)


def test_a_rest_client_loads_no_tensorflow():
    code = (
        "import sys, serving.client as c; c.Client('http://localhost:8501'); c.AsyncClient('http://localhost:8501'); "
        "assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
