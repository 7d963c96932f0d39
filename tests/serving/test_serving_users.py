"""Stores of users behind a client: both kinds, real ones, also late and dead; asyncio alike."""

import asyncio
import importlib.util
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.client import AsyncClient, Client
from serving.users import Event, UserLookup, UserRecord, append, open_store
from serving.users.store import load
from tests.serving.client_models import Towers
from tests.serving.redis_process import RedisProcess
from tests.serving.tcp_proxy import TcpProxy
from tfrec.errors import ArtifactError, ConfigError
from tfrec.schema import Schema

SCHEMA = Schema.model_validate(
    {
        "name": "t",
        "features": {
            "user_id": {"role": "user", "kind": "categorical", "id": True},
            "item": {"role": "item", "kind": "categorical", "id": True},
            "history": {"role": "user", "kind": "sequence", "length": 3},
        },
        "timestamp": {"column": "time"},
    }
)
LOADED = [("ann", UserRecord({"age": 30.0}, {"history": ["a", "b"]}, 1000)), ("bob", UserRecord({"age": 40.0}))]
WITHOUT_REDIS = next(
    (
        reason
        for is_missing, reason in (
            (RedisProcess.binary() is None, "redis-server is not installed (Debian: apt-get install redis-server)"),
            (importlib.util.find_spec("redis") is None, "the package redis is not installed (pip install redis)"),
        )
        if is_missing
    ),
    None,
)
NEEDS_REDIS = pytest.mark.skipif(WITHOUT_REDIS is not None, reason=str(WITHOUT_REDIS))


@pytest.fixture(scope="module")
def redis_server():
    server = RedisProcess()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=NEEDS_REDIS)])
def address(request, tmp_path):
    """Of an empty store."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path}/users.db"
    import redis

    server = request.getfixturevalue("redis_server")
    redis.Redis.from_url(server.url).flushall()
    return server.url


@pytest.fixture
def store(address):
    opened = open_store(address)
    load(opened, SCHEMA, LOADED)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    base = tmp_path_factory.mktemp("towers")
    Towers().save(base / "1")
    return base


@pytest.fixture
def towers(saved, serve, model):
    """A server whose model gives back the history of the request, latest first; `cold` where there is none."""
    return serve(model("towers", saved)).target


def test_what_was_loaded_is_found_in_the_order_asked_for(store, address):
    assert store.get(["bob", "nobody", "ann"]) == [LOADED[1][1], None, LOADED[0][1]]
    assert store.get([]) == []
    other = open_store(address)
    assert other.schema() == SCHEMA
    assert other.get(["ann"]) == [LOADED[0][1]]
    other.close()


def test_many_users_are_found_at_once(store):
    load(store, SCHEMA, ((f"u{i}", UserRecord({"n": float(i)})) for i in range(2500)))
    found = store.get([f"u{i}" for i in range(2500)])
    assert [record.features["n"] for record in found] == list(range(2500))


def test_an_empty_store_says_how_to_load_it(address):
    opened = open_store(address)
    with pytest.raises(
        ArtifactError, match=f"holds no users; load them with: python -m serving.load_users .* {address}"
    ):
        opened.schema()
    opened.close()


def test_no_event_is_lost_among_writers_of_one_user(store, address):
    def write(number):
        own = open_store(address)
        for i in range(10):
            append(own, "new", Event(f"{number}", 1000 * i), SCHEMA)
            own.update(["count"], lambda found: [UserRecord({"n": (found[0].features["n"] if found[0] else 0) + 1})])
        own.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert store.get(["count"])[0].features["n"] == 40
    assert len(store.get(["new"])[0].sequences["history"]) == 3


def test_a_reload_keeps_histories_that_are_fresher_and_users_that_are_new(store):
    append(store, "ann", Event("c", 2000))
    append(store, "eve", Event("e", 2000))
    load(store, SCHEMA, [("ann", UserRecord({"age": 31.0}, {"history": ["a", "b"]}, 1000))])
    assert store.get(["ann"]) == [UserRecord({"age": 31.0}, {"history": ["a", "b", "c"]}, 2000)]
    assert store.get(["eve"])[0].sequences == {"history": ["e"]}


def test_an_event_is_in_the_next_requests_history(store, towers):
    lookup = UserLookup(store, timeout_seconds=5)
    with Client(towers, 20, users=lookup) as client:
        assert client.recommend("towers", "ann").ids == ("b", "a")
        lookup.append("ann", Event("c"))
        assert client.recommend("towers", "ann").ids == ("c", "b", "a")
        lookup.append("zoe", Event("z"))
        rows = client.recommend_batch("towers", ["zoe", "bob", "ann"])
        assert [[one for one in row.ids if one != "cold"] for row in rows] == [["z"], [], ["c", "b", "a"]]
        assert client.embed("towers", ["ann"]).tolist() == [[3, 3]]
        assert client.recommend("towers", "ann", history=["x"]).ids == ("x",)
    assert (lookup.counts.found, lookup.counts.missing, lookup.counts.late) == (7, 0, 0)


def test_the_asyncio_client_looks_users_up_too(store, towers):
    lookup = UserLookup(store, timeout_seconds=5)

    async def run():
        async with AsyncClient(towers, 20, users=lookup) as client:
            names = ["ann", "bob", "nobody"]
            return await asyncio.gather(*(client.recommend("towers", name) for name in names))

    assert [row.ids for row in asyncio.run(run())] == [("b", "a"), ("cold",), ("cold",)]
    assert (lookup.counts.found, lookup.counts.missing) == (2, 1)


@NEEDS_REDIS
def test_a_store_that_hangs_costs_its_time_and_then_nothing(redis_server, towers):
    road = TcpProxy(redis_server.url.removeprefix("redis://").removesuffix("/0"))
    store = open_store(f"redis://{road.target}/0")
    load(store, SCHEMA, LOADED)
    lookup = UserLookup(store, timeout_seconds=0.1, pause_seconds=0.6)
    with Client(towers, 20, users=lookup) as client:
        client.titles("towers", ["a"])
        assert client.recommend("towers", "ann").ids == ("b", "a")
        road.pause()
        start = time.monotonic()
        assert [client.recommend("towers", "ann").ids for _ in range(5)] == [("cold",)] * 5
        assert time.monotonic() - start < 5  # three look-ups of 0.1 s; one command of the store takes 2 s
        assert (lookup.counts.found, lookup.counts.late, lookup.counts.skipped) == (1, 3, 2)

        async def cold():
            async with AsyncClient(towers, 20, users=lookup) as other:
                return (await other.recommend("towers", "ann")).ids

        assert asyncio.run(cold()) == ("cold",)
        road.resume()
        time.sleep(0.7)
        end = time.monotonic() + 20
        while client.recommend("towers", "ann").ids == ("cold",) and time.monotonic() < end:
            time.sleep(0.1)
        assert client.recommend("towers", "ann").ids == ("b", "a")
    road.kill()


@NEEDS_REDIS
def test_a_store_that_died_is_found_again(towers):
    server = RedisProcess()
    store = open_store(server.url)
    load(store, SCHEMA, LOADED)
    lookup = UserLookup(store, timeout_seconds=2, pause_seconds=0.1)
    with Client(towers, 20, users=lookup) as client:
        assert client.recommend("towers", "ann").ids == ("b", "a")
        server.stop()
        assert client.recommend("towers", "ann").ids == ("cold",)
        assert lookup.counts.failed == 1
        with pytest.raises(store.errors):
            lookup.append("ann", Event("c"))
        server.start()
        load(store, SCHEMA, LOADED)
        time.sleep(0.2)
        assert client.recommend("towers", "ann").ids == ("b", "a")
    server.stop()


class Hanging:
    """A store of one's own, whose look-ups hang until they are let go."""

    errors = ()

    def __init__(self):
        self.lets_go = threading.Event()
        self.looked_up = 0

    def schema(self):
        return SCHEMA

    def get(self, user_ids):
        self.looked_up += 1
        assert self.lets_go.wait(60)
        return [LOADED[0][1] for _ in user_ids]


def test_many_requests_wait_no_longer_than_one_for_a_store_that_hangs():
    store = Hanging()
    lookup = UserLookup(store, timeout_seconds=0.2, pause_seconds=0.3)
    start = time.monotonic()
    with ThreadPoolExecutor(40) as pool:
        found = list(pool.map(lambda _: lookup.of(["ann"], (), 60.0), range(40)))
    assert found == [[{}]] * 40
    assert time.monotonic() - start < 10
    assert store.looked_up <= 8
    assert lookup.counts.late + lookup.counts.skipped == 40
    store.lets_go.set()
    time.sleep(0.5)
    assert lookup.of(["ann"], (), 60.0) == [{"age": 30.0, "history": ["a", "b"]}]
    assert lookup.of(["ann"], ("history",), 60.0) == [{"age": 30.0}]


def test_a_look_up_that_is_more_patient_than_the_call_leaves_time_for_the_models_answer(towers):
    store = Hanging()
    lookup = UserLookup(store, timeout_seconds=60)

    async def ask():
        async with AsyncClient(towers, 6, users=lookup) as client:
            return (await client.recommend("towers", "ann")).ids

    with Client(towers, 6, users=lookup) as client:
        assert client.recommend("towers", "ann").ids == ("cold",)
    assert asyncio.run(ask()) == ("cold",)
    assert lookup.counts.late == lookup.counts.without_answer == 2
    store.lets_go.set()


def test_a_locked_file_does_not_hold_up_readers(tmp_path, towers):
    store = open_store(f"sqlite:{tmp_path}/users.db")
    load(store, SCHEMA, LOADED)
    writes, ends = threading.Event(), threading.Event()

    def change(found):
        writes.set()
        assert ends.wait(20)
        return found

    writer = threading.Thread(target=store.update, args=(["ann"], change))
    writer.start()
    assert writes.wait(20)
    assert store.get(["ann"]) == [LOADED[0][1]]
    ends.set()
    writer.join()
    store.close()


def test_a_broken_store_is_counted_and_the_model_answers_alone(tmp_path, towers):
    path = tmp_path / "users.db"
    store = open_store(f"sqlite:{path}")
    lookup = UserLookup(store, timeout_seconds=5, pause_seconds=60)
    with Client(towers, 20, users=lookup) as client:
        assert [client.recommend("towers", "ann").ids for _ in range(4)] == [("cold",)] * 4
    assert (lookup.counts.failed, lookup.counts.skipped) == (3, 1)  # nothing was loaded
    path.with_name("other.db").write_text("this is no database, but a text that is longer than a header" * 10)
    with pytest.raises(ArtifactError, match=r"other\.db: is no store of users"):
        open_store(f"sqlite:{tmp_path}/other.db").get(["ann"])


@pytest.mark.parametrize("address", ["", "sqlite:", "postgres://x", "users.db"])
def test_an_odd_address_is_an_error(address):
    with pytest.raises(ConfigError, match="expected sqlite:PATH or redis://HOST:PORT/NUMBER"):
        open_store(address)


def test_a_directory_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="does not exist; make it first"):
        open_store(f"sqlite:{tmp_path}/nowhere/users.db")
