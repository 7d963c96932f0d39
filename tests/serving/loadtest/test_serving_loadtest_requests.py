"""Who asks, and what."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving.loadtest.population import Population, population_of_dataset
from serving.loadtest.requests import ServerError, Share, Wishes, make_payloads
from tests.serving.small_dataset import EVENTS, ITEMS, write_small_dataset
from tfrec.errors import ArtifactError, ConfigError


def population(users=("u1", "u2"), weights=(3, 1), items=()):
    return Population(np.array(users, object), np.array(weights, float), np.array(items, object))


def test_users_are_drawn_by_weight_and_some_are_unknown():
    drawn = population().draw_users(20_000, 0.2, np.random.default_rng(1))
    share = {name: drawn.count(name) / 20_000 for name in ("u1", "u2")}
    assert share["u1"] == pytest.approx(0.8 * 0.75, abs=0.02)
    assert share["u2"] == pytest.approx(0.8 * 0.25, abs=0.02)
    unknown = [name for name in drawn if name not in ("u1", "u2")]
    assert len(set(unknown)) == len(unknown)


def parsed(payload):
    return predict_pb2.PredictRequest.FromString(payload.content)


def test_a_request_has_every_input_in_one_row_and_the_server_answers_it(shared_server, shared):
    people = population(items=[f"i{i}" for i in range(8)])
    mix = [Share.parse("recommender:recommend=3"), Share.parse("recommender:rank=1")]
    wishes = Wishes(k=3, excluded=2, candidates=4)
    payloads = make_payloads(shared_server.target, mix, people, wishes, number=400, seed=1)
    again = make_payloads(shared_server.target, mix, people, wishes, number=400, seed=1)
    assert [parsed(one) for one in payloads] == [parsed(one) for one in again]
    by_signature = {}
    for payload in payloads:
        by_signature.setdefault(parsed(payload).model_spec.signature_name, []).append(parsed(payload))
    assert len(by_signature["recommend"]) == pytest.approx(300, abs=40)
    recommend, rank = by_signature["recommend"][0], by_signature["rank"][0]
    assert {proto.tensor_shape.dim[0].size for proto in recommend.inputs.values()} == {1}
    assert sorted(recommend.inputs) == sorted(
        ["user_id", "boost", "genres", "year", "is_weekend", "k", "exclude_ids", "allow_ids", "exclude_seen"]
    )
    excluded = recommend.inputs["exclude_ids"].string_val
    assert excluded[0] == b""
    assert len(set(excluded)) == 3
    answer = shared.prediction.Predict(recommend, timeout=10)
    ids = tf.make_ndarray(answer.outputs["ids"])[0]
    assert len(ids) == 3
    assert not set(ids) & set(excluded[1:])
    ranked = tf.make_ndarray(shared.prediction.Predict(rank, timeout=10).outputs["ids"])[0]
    assert sorted(ranked) == sorted(rank.inputs["candidate_ids"].string_val)
    assert len(ranked) == 4


def test_a_version_or_a_label_can_be_asked(shared_server):
    def spec_of(mix):
        (payload,) = make_payloads(shared_server.target, [Share.parse(mix)], population(), Wishes(), number=1, seed=1)
        return parsed(payload).model_spec

    assert spec_of("recommender").WhichOneof("version_choice") is None
    spec = spec_of("recommender/versions/1:recommend=2")
    assert (spec.name, spec.version.value, spec.signature_name) == ("recommender", 1, "recommend")
    with pytest.raises(ServerError, match=r"metadata of model 'recommender/versions/9' at .*: NOT_FOUND: "):
        spec_of("recommender/versions/9")
    with pytest.raises(ServerError, match=r"Unrecognized servable version label: x"):
        spec_of("recommender/labels/x")


@pytest.mark.parametrize(
    ("mix", "people", "wishes", "message"),
    [
        ("recommender:rank", population(), Wishes(), r"rank: takes candidates; name items with --dataset or --items"),
        ("recommender", population(), Wishes(excluded=1), r"--exclude: no items are known"),
        (
            "recommender:embed",
            population(),
            Wishes(),
            r"has no signature 'embed'; it has: explain, items, rank",
        ),
        ("adder", population(), Wishes(), r"model 'adder' has no signature 'recommend or rank'"),
        ("adder:add_both", population(), Wishes(), r"adder:add_both: takes a, b; a signature that takes a user alone"),
    ],
)
def test_what_cannot_be_asked_is_said_before_the_load(shared_server, mix, people, wishes, message):
    with pytest.raises(ConfigError, match=message):
        make_payloads(shared_server.target, [Share.parse(mix)], people, wishes, number=1, seed=1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_small_dataset(tmp_path_factory.mktemp("small"))


@pytest.mark.parametrize(("drawn_by", "weight"), [("activity", len), ("uniform", lambda events: 1)])
def test_the_users_of_a_dataset_ask_as_often_as_they_acted(dataset, drawn_by, weight):
    found = population_of_dataset(dataset, drawn_by)
    assert dict(zip(found.user_ids, found.weights)) == {user: weight(events) for user, events in EVENTS.items()}
    assert sorted(found.item_ids) == ITEMS


def test_a_dataset_whose_files_are_gone_is_named(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "copy")
    for path in (tmp_path / "copy" / "users").iterdir():
        path.unlink()
    with pytest.raises(ArtifactError, match=r"copy/users/part-.*: cannot be read .*; copy the dataset again"):
        population_of_dataset(tmp_path / "copy", "uniform")
