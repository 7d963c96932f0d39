"""Clients of several real servers, of which some hang, die and come back: blocking and asyncio alike."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from serving.client import AsyncClient, Client, ClientOptions, Hedging, Retries, ServingError
from tests.serving.tcp_proxy import TcpProxy

LATE = 5.0  # seconds: the deadline of calls that must not wait for it


class Blocking:
    """Calls of a `Client`, many at once in threads."""

    def __init__(self, *arguments, **options):
        self._client = Client(*arguments, **options)

    def one(self):
        return self._client.recommend("recommender", user="new", k=1)

    def at_once(self, count):
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda _: self.one(), range(count)))

    def close(self):
        self._client.close()


class OfAsyncio:
    """Calls of an `AsyncClient`, many at once in its event loop."""

    def __init__(self, *arguments, **options):
        self._runner = asyncio.Runner()
        self._client = self._runner.run(self._made(AsyncClient, *arguments, **options))

    async def _made(self, client, *arguments, **options):
        return client(*arguments, **options)

    def one(self):
        return self._runner.run(self._client.recommend("recommender", user="new", k=1))

    def at_once(self, count):
        async def all_of_them():
            calls = (self._client.recommend("recommender", user="new", k=1) for _ in range(count))
            return await asyncio.gather(*calls)

        return self._runner.run(all_of_them())

    def close(self):
        self._runner.run(self._client.close())
        self._runner.close()


@pytest.fixture
def proxies(shared_server):
    """Two ways to a server, each of which can hang or die."""
    made = [TcpProxy(shared_server.target), TcpProxy(shared_server.target)]
    yield made
    for proxy in made:
        proxy.kill()


@pytest.fixture(params=[Blocking, OfAsyncio])
def connect(request):
    clients = []

    def open_client(servers, timeout_seconds=LATE, **options):
        target = ",".join(one.target for one in servers)
        clients.append(request.param(target, timeout_seconds, options=ClientOptions(**options)))
        return clients[-1]

    yield open_client
    for client in clients:
        client.close()


def seconds_of(call):
    start = time.monotonic()
    call()
    return time.monotonic() - start


def test_requests_are_spread_over_the_servers(proxies, connect):
    client = connect(proxies)
    assert len(client.at_once(40)) == 40
    sent = [proxy.bytes_out for proxy in proxies]
    assert min(sent) > 0.25 * max(sent)


def test_no_call_fails_while_one_of_two_servers_dies(proxies, connect):
    client = connect(proxies)
    client.at_once(10)
    proxies[0].kill()
    assert {client.one().ids for _ in range(30)} == {("i0",)}


def test_a_server_that_comes_back_is_asked_again(proxies, connect, eventually):
    client = connect(proxies)
    client.at_once(4)
    proxies[0].kill()
    for _ in range(4):
        client.one()
    sent = proxies[0].bytes_out
    proxies[0].revive()
    eventually(lambda: client.one() and proxies[0].bytes_out > sent + 1000)


def test_a_late_server_is_hedged_by_another(proxies, connect):
    client = connect(proxies, hedging=Hedging(after_seconds=0.05), retries=Retries(extra_share=1))
    client.at_once(4)
    proxies[0].pause()
    assert max(seconds_of(client.one) for _ in range(12)) < LATE / 2


def test_without_hedging_a_server_that_hangs_costs_the_deadline_and_then_is_left_alone(proxies, connect):
    client = connect(proxies, timeout_seconds=1.0)
    for _ in range(4):
        client.one()
    proxies[0].pause()
    codes = []
    for _ in range(12):
        try:
            client.one()
        except ServingError as error:
            codes.append(error.code)
    assert 1 <= len(codes) <= 5
    assert set(codes) == {grpc.StatusCode.DEADLINE_EXCEEDED}


def test_a_hedge_whose_first_request_fails_waits_for_the_second(proxies, connect):
    client = connect(proxies, hedging=Hedging(after_seconds=0.05), retries=Retries(attempts=1))
    client.at_once(10)
    for proxy in proxies:
        proxy.pause()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.one)
        time.sleep(0.4)
        proxies[0].kill()
        time.sleep(0.2)
        proxies[1].resume()
        assert answer.result().ids == ("i0",)


def test_retries_and_waits_end_with_the_deadline(proxies, connect):
    for proxy in proxies:
        proxy.kill()
    client = connect(proxies, timeout_seconds=0.5, retries=Retries(attempts=1000, initial_backoff_seconds=0.2))

    def fails():
        with pytest.raises(ServingError) as caught:
            client.one()
        assert caught.value.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

    assert seconds_of(fails) < 1.5


def test_an_asyncio_call_that_is_cancelled_leaves_the_client_usable(shared_server):
    async def run():
        proxy = TcpProxy(shared_server.target)
        async with AsyncClient(proxy.target, LATE) as client:
            await client.recommend("recommender", user="new", k=1)
            proxy.pause()
            call = asyncio.ensure_future(client.recommend("recommender", user="new", k=1))
            await asyncio.sleep(0.1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            proxy.resume()
            found = await client.recommend("recommender", user="new", k=2)
        proxy.kill()
        return found.ids

    assert asyncio.run(run()) == ("i0", "i1")
