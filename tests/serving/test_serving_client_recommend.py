"""The command line over REST, with a ranker, and with a store of users."""

import json

import pytest

from serving import recommend
from serving.users import UserRecord, open_store
from serving.users.store import load
from tests.serving.client_models import Ranker, Towers
from tests.serving.rest_gateway import Gateway
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


class Broken(UserRecord):
    """A record that no store can read back."""

    def to_json(self):
        return "no JSON"


@pytest.fixture
def answered(capsys):
    def run(*flags):
        code = recommend.main([*flags, "--timeout-seconds", "20"])
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root = tmp_path_factory.mktemp("saved")
    Ranker().save(root / "ranker" / "1")
    Towers().save(root / "towers" / "4")
    return root


@pytest.fixture
def target(saved, serve, model, add_version):
    recommender = model("recommender", add_version("recommender", 1, "recommender"))
    return serve(recommender, *(model(name, saved / name) for name in ("ranker", "towers"))).target


def test_a_ranker_orders_the_candidates(target, answered):
    flags = ("--model", "recommender", "--user", "new", "--k", "2", "--ranker", "ranker", "--candidates", "4")
    code, out, err = answered("--server", target, *flags, "--feature", "device=tv", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["model"], [item["id"] for item in found["items"]]) == ("ranker", ["i0", "i1"])
    assert found["items"][0]["title"] == "Title of [i0]"


def test_rest_prints_what_grpc_prints(target, answered):
    gateway = Gateway(target)
    flags = ("--model", "recommender", "--user", "u1", "--k", "3", "--why")
    assert answered("--server", gateway.url, *flags) == answered("--server", target, *flags)
    gateway.shutdown()


def test_a_store_gives_the_history(target, answered, tmp_path):
    address = f"sqlite:{tmp_path}/users.db"
    flags = ("--server", target, "--model", "towers", "--user", "ann", "--json", "--store", address)
    code, out, err = answered(*flags)
    assert (code, out) == (2, "")
    assert err.startswith(f"ArtifactError: {address}: holds no users; load them with: python -m serving.load_users")
    store = open_store(address)
    load(store, SCHEMA, [("ann", UserRecord({}, {"history": ["a", "b"]}, 1))])
    code, out, err = answered(*flags)
    assert (code, [item["id"] for item in json.loads(out)["items"]]) == (0, ["b", "a"])
    store.close()


def test_a_store_that_breaks_is_said_and_the_model_answers_alone(target, answered, tmp_path):
    address = f"sqlite:{tmp_path}/users.db"
    store = open_store(address)
    load(store, SCHEMA, [("ann", UserRecord({}, {"history": ["a", "b"]}, 1))])
    store.update(["ann"], lambda _: [Broken()])
    flags = ("--server", target, "--model", "towers", "--user", "ann", "--json", "--store", address)
    code, out, err = answered(*flags)
    assert (code, [item["id"] for item in json.loads(out)["items"]]) == (0, ["cold"])
    assert err == f"{address}: gave no answer; these are recommendations without it\n"
    store.close()
