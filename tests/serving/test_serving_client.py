"""The client against a real server with a recommender."""

import socket

import grpc
import pytest

from serving.client import Client, Reason, ServingError
from tests.serving.exported_models import ITEM_IDS
from tfrec.errors import ConfigError


@pytest.fixture
def client(shared_server):
    with Client(shared_server.target, timeout_seconds=10) as connected:
        yield connected


def test_recommend_returns_k_items_best_first_with_the_version(client):
    items = client.recommend("recommender", user="new", k=3)
    assert items.ids == ("i0", "i1", "i2")
    assert items.scores == (7.0, 6.0, 5.0)
    assert (items.user, items.model, items.version) == ("new", "recommender", 1)
    assert list(items) == [("i0", 7.0), ("i1", 6.0), ("i2", 5.0)]


def test_a_number_is_a_user_id_too(client):
    assert client.recommend("recommender", user=42, k=1).user == "42"


def test_k_above_the_catalogue_returns_the_whole_catalogue(client):
    assert client.recommend("recommender", user="new", k=1000).ids == tuple(ITEM_IDS)


def test_excluded_items_are_not_recommended(client):
    assert client.recommend("recommender", user="new", k=2, exclude=["i0", "i2", "?"]).ids == ("i1", "i3")


def test_what_can_be_no_id_is_an_error(client):
    for odd in (None, 1.5, True, float("nan")):
        with pytest.raises(ConfigError, match="an id is text or a whole number"):
            client.recommend("recommender", user="new", exclude=[odd])
        with pytest.raises(ConfigError, match="an id is text or a whole number"):
            client.recommend("recommender", user=odd)


def test_fewer_than_k_items_are_left_when_the_others_are_excluded(client):
    assert client.recommend("recommender", user="new", k=5, exclude=ITEM_IDS[1:]).ids == ("i0",)
    assert len(client.recommend("recommender", user="new", k=5, exclude=ITEM_IDS)) == 0


def test_an_allow_list_limits_the_items(client):
    assert client.recommend("recommender", user="new", allow=["i5", "i3"]).ids == ("i3", "i5")
    assert client.recommend("recommender", user="new", allow=["i5", "i3"], exclude=["i3"]).ids == ("i5",)


def test_seen_items_are_left_out_unless_asked_for(client):
    assert "i1" not in client.recommend("recommender", user="u1").ids
    assert "i1" in client.recommend("recommender", user="u1", exclude_seen=False).ids


def test_features_reach_the_model(client):
    assert client.recommend("recommender", user="new", k=1, boost=0.5).scores == (7.5,)
    assert client.recommend("recommender", user="new", k=1, boost="0.5").scores == (7.5,)
    assert client.recommend("recommender", user="new", k=1, genres=["a", "b"]).scores == (207.0,)
    assert client.recommend("recommender", user="new", k=1, genres="a").scores == (107.0,)
    assert client.recommend("recommender", user="new", k=1, year=2001).scores == (8.0,)
    assert client.recommend("recommender", user="new", k=1, year="2001").scores == (8.0,)
    assert client.recommend("recommender", user="new", k=1, is_weekend=True).scores == (57.0,)
    assert client.recommend("recommender", user="new", k=1, is_weekend="false").scores == (7.0,)


def test_a_batch_equals_one_by_one(client):
    users = ["new", "u1", "other"]
    exclude = [["i0"], [], ["i0", "i1", "i2"]]
    boost = [0.0, 1.0, 2.0]
    batch = client.recommend_batch("recommender", users, k=3, exclude=exclude, boost=boost)
    singles = [
        client.recommend("recommender", user, k=3, exclude=ids, boost=value)
        for user, ids, value in zip(users, exclude, boost, strict=True)
    ]
    assert list(batch) == singles


def test_a_batch_takes_one_value_for_all_or_one_each(client):
    batch = client.recommend_batch("recommender", ["a", "b"], k=1, boost=1.0, genres=[["x"], ["x", "y"]])
    assert [items.scores for items in batch] == [(108.0,), (208.0,)]
    with pytest.raises(ConfigError, match="'boost': got 3 values for 2 users"):
        client.recommend_batch("recommender", ["a", "b"], boost=[1.0, 2.0, 3.0])
    with pytest.raises(ConfigError, match="exclude: got 1 lists for 2 users"):
        client.recommend_batch("recommender", ["a", "b"], exclude=[["i1"]])
    assert len(client.recommend_batch("recommender", [])) == 0


def test_rank_sorts_the_candidates(client):
    assert client.rank("recommender", "u1", ["i2", "i7", "i5"]).ids == ("i7", "i5", "i2")
    items = client.rank("recommender", "new", ["i2", "i7", "i5"], boost=10)
    assert list(items) == [("i2", 8.0), ("i5", 5.0), ("i7", 3.0)]
    with pytest.raises(ConfigError, match="no candidates"):
        client.rank("recommender", "new", [])


def test_explain_gives_each_items_reasons_in_the_order_of_the_items(client):
    found = client.explain("recommender", "u1", ["i5", "i2"])
    assert found == [(Reason("item:i1", 0.75), Reason("genres=[a]", 0.25)), ()]
    assert [reason.item_id for reason in found[0]] == ["i1", None]
    assert client.explain("recommender", "new", ["i5"], boost=1) == [(Reason("popularity", 1.75),)]
    assert client.explain("recommender", "new", []) == []
    with pytest.raises(ConfigError, match=r"model 'adder' at .* has no signature 'explain'; it has: add_both"):
        client.explain("adder", "u1", ["i5"])


def test_items_and_titles_are_looked_up(client):
    assert client.items("recommender", ["i3", "?"]) == [{"title": "Title of [i3]"}, {"title": ""}]
    assert client.titles("recommender", ["i3"]) == ["Title of [i3]"]
    assert client.titles("adder", ["i3", "i4"]) == ["", ""]


def test_metadata_and_status_describe_the_model(client):
    metadata = client.metadata("adder")
    assert metadata.version == 7
    assert {"serving_default", "slow"} <= set(metadata.signatures)
    assert client.metadata("adder") is metadata
    assert [(v.version, v.state, v.error) for v in client.status("adder")] == [
        (7, "AVAILABLE", ""),
        (3, "AVAILABLE", ""),
    ]


def test_an_unknown_feature_is_an_error_with_the_nearest_name(client):
    with pytest.raises(ConfigError, match=r"unknown feature 'boots'; did you mean 'boost'\?"):
        client.recommend("recommender", user="new", boots=1.0)
    with pytest.raises(ConfigError, match="unknown feature 'user_id'; allowed: boost, genres, is_weekend, year"):
        client.recommend("recommender", user="new", user_id="x")


def test_a_feature_of_the_wrong_kind_is_an_error(client):
    with pytest.raises(ConfigError, match="feature 'boost': got 'high'; expected float32 numbers"):
        client.recommend("recommender", user="new", boost="high")
    with pytest.raises(ConfigError, match=r"feature 'year': got 1999\.5; expected int64 numbers"):
        client.recommend("recommender", user="new", year=1999.5)
    with pytest.raises(ConfigError, match="feature 'is_weekend': got 'yes'; expected true or false"):
        client.recommend("recommender", user="new", is_weekend="yes")
    with pytest.raises(ConfigError, match="feature 'boost' takes one value"):
        client.recommend("recommender", user="new", boost=[1.0, 2.0])


def test_k_below_one_is_an_error_before_the_call():
    with pytest.raises(ConfigError, match="k: got 0"), Client("nowhere.invalid:1") as client:
        client.recommend("recommender", user="new", k=0)


def test_a_missing_signature_is_an_error_that_lists_those_there_are(client):
    with pytest.raises(ConfigError, match="has no signature 'recommend'; it has: add_both, parse, serving_def"):
        client.recommend("adder", user="new")


def test_a_servers_error_becomes_one_line_with_its_code(client, shared_server):
    with pytest.raises(ServingError) as caught:
        client.recommend("missing", user="new")
    assert caught.value.code is grpc.StatusCode.NOT_FOUND
    assert str(caught.value) == (
        f"metadata of model 'missing' at {shared_server.target}: NOT_FOUND: "
        "Servable not found for request: Latest(missing); "
        "check the model's name against the server's --model_name"
    )


def test_an_unreachable_server_is_an_error_that_says_how_to_start_one():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        with Client(target) as client, pytest.raises(ServingError) as caught:
            client.recommend("recommender", user="new")
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert "python -m serving.server" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_does_not_answer_is_an_error_after_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        with Client(target, timeout_seconds=0.3) as client, pytest.raises(ServingError) as caught:
            client.status("recommender")
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "the timeout was 0.3 s" in str(caught.value)


def test_a_timeout_of_zero_is_an_error():
    with pytest.raises(ConfigError, match="timeout_seconds: got 0; allowed: above 0"):
        Client("localhost:1", timeout_seconds=0)


def test_the_client_follows_a_version_with_other_signatures(serve, add_version, model, eventually):
    base_path = add_version("model", 1, "adder")
    server = serve(model("model", base_path))
    with Client(server.target, timeout_seconds=10) as client:
        with pytest.raises(ConfigError, match="no signature 'recommend'"):
            client.recommend("model", user="new")
        add_version("model", 2, "recommender")
        eventually(lambda: [v.state for v in client.status("model")] == ["AVAILABLE", "END"])
        items = client.recommend("model", user="new", k=1)
    assert (items.ids, items.version) == (("i0",), 2)
