"""The signature `explain`: the model's own reasons, and what people see of them over gRPC."""

import json

import numpy as np
import pytest
import tensorflow as tf

from serving import recommend
from serving.server.model_server import ModelServer
from serving.server.options import ModelOptions, ServerOptions
from tests.trainer.raw_rows import padded
from tfrec.export.retrieval import REASONS
from trainer.model import load_model

USERS = ["u00003", "u00017", "u00040"]


@pytest.fixture(scope="module")
def lists(with_user_ids):
    return with_user_ids.ask("recommend", user_id=USERS, k=[6])["ids"].astype(str).tolist()


def history_of(log, user_id):
    return [event.item_id for event in log.events if event.user_id == user_id]


def test_reasons_are_those_of_the_model_for_the_stored_history(with_user_ids, log, lists):
    model, data, _ = load_model(with_user_ids.job)
    place = {item_id.decode(): index for index, item_id in enumerate(data.catalogue.ids)}
    first = data.schema.item_id_feature.first_token_id
    encoded = data.catalogue.features["item_id"]
    assert (encoded[: len(place) - 1] >= first).all()
    found = with_user_ids.ask("explain", user_id=USERS, candidate_ids=lists)
    assert found["reasons"].shape == (3, 6, REASONS)
    for user_id, items, reasons, weights in zip(USERS, lists, found["reasons"], found["weights"], strict=True):
        vectors = model.item_vectors_for_reasons().numpy()
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        taken = {place[item_id] for item_id in history_of(log, user_id)}
        for item_id, of_item, weights_of_item in zip(items, reasons, weights, strict=True):
            cosines = {index: float(vectors[index] @ vectors[place[item_id]]) for index in taken}
            best = sorted(cosines, key=lambda index: -cosines[index])[:REASONS]
            best = [index for index in best if cosines[index] > 0]
            expected = [f"item:{data.catalogue.ids[index].decode()}" for index in best]
            assert [label.decode() for label in of_item if label] == expected
            np.testing.assert_allclose(weights_of_item[: len(best)], [cosines[i] for i in best], rtol=1e-4, atol=1e-6)


def test_a_history_in_the_request_is_what_the_reasons_come_from(retrieval, log):
    """A model that knows no user by id: nothing but the history that it is given speaks for an item."""
    past = history_of(log, USERS[0])[:4]
    candidates = [history_of(log, USERS[1])[:3]]
    found = retrieval.ask("explain", user_id=["nobody"], history=padded([past]), candidate_ids=candidates)
    labels = {label.decode() for label in found["reasons"].ravel() if label}
    assert labels
    assert labels <= {f"item:{item_id}" for item_id in past}


def test_one_answer_explains_many_users(with_user_ids, lists):
    together = with_user_ids.ask("explain", user_id=USERS, candidate_ids=lists)
    for row, user_id in enumerate(USERS):
        alone = with_user_ids.ask("explain", user_id=[user_id], candidate_ids=lists[row : row + 1])
        assert (alone["reasons"][0] == together["reasons"][row]).all()
        np.testing.assert_allclose(alone["weights"][0], together["weights"][row], rtol=1e-5)


def test_the_saved_signature_needs_stock_operations_alone(with_user_ids):
    saved = tf.saved_model.load(str(with_user_ids.path))
    graph = saved.signatures["explain"].graph
    kinds = {operation.type for operation in graph.get_operations()}
    kinds |= {node.op for function in graph.as_graph_def().library.function for node in function.node_def}
    assert not {kind for kind in kinds if "PyFunc" in kind}


def test_the_command_says_why_over_grpc(with_user_ids, log, lists, capsys):
    models = (ModelOptions("two_tower", with_user_ids.path.parent),)
    with ModelServer(ServerOptions(models=models, port=0)) as server:
        flags = ["--server", server.target, "--model", "two_tower", "--user", USERS[0], "--k", "6", "--why"]
        assert recommend.main([*flags, "--json"]) == 0
        content = json.loads(capsys.readouterr().out)
        assert recommend.main(flags) == 0
        table = capsys.readouterr().out
    assert [item["id"] for item in content["items"]] == lists[0]
    taken = {f"item:{item_id}": item_id for item_id in history_of(log, USERS[0])}
    expected = with_user_ids.ask("explain", user_id=USERS[:1], candidate_ids=lists[:1])["reasons"][0]
    for item, labels in zip(content["items"], expected, strict=True):
        assert [why["reason"] for why in item["why"]] == [label.decode() for label in labels if label]
        for why in item["why"]:
            assert why["title"] == log.items[taken[why["reason"]]]["title"]
            assert why["weight"] > 0
    assert "because of" in table
