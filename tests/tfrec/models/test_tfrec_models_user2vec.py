"""Losses and scores of user2vec against plain loops, and the contract."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.contracts import PersonalContract
from tests.tfrec.models.taken_items import profile_by_hand, request
from tests.tfrec.models.test_tfrec_models_item2vec import (
    LOG,
    QUICK,
    SHARED_NON_DEFAULT,
    TAKEN,
    loss_by_hand,
    model_of,
    neighbours_by_hand,
    record,
    require_own_community_first,
    scores_after_training,
    vectors_by_item,
)
from tfrec.models.user2vec import User2Vec

NON_DEFAULT = {**SHARED_NON_DEFAULT, "architecture": "pv_dm", "history_weight": 0.25}


class TestUser2Vec(PersonalContract):
    model = "user2vec"
    overrides = QUICK
    non_default = NON_DEFAULT
    favourite_genre_share, favourite_genre_gain = 0.45, 3.2

    def test_the_stated_table_shapes_are_those_of_the_tables(self, trained):
        model, data, config = trained
        shapes = model.table_shapes(config.model, data.schema, data.model_inputs.num_ids, data.catalogue.size)
        stated = {shape.name: (shape.rows, shape.dim) for shape in shapes}
        tables = {"item_input": model._input, "item_output": model._output, "users": model._users}
        assert {name: stated[name] for name in tables} == {name: tuple(t.shape) for name, t in tables.items()}


USERS = [0, 0, 1, 2, 3, 0, 3]


def batch():
    users = tf.constant(USERS, tf.int64)
    return {"user_index": users, "user_id": users + 2}


def test_the_distributed_memory_predicts_from_user_and_context(monkeypatch):
    model = model_of(TAKEN, 7, cls=User2Vec, architecture="pv_dm", window=2, num_negatives=4)
    seen = record(model, monkeypatch)
    loss = float(model.compute_loss(batch(), training=True))
    inputs, outputs = vectors_by_item(model)
    users = model._users.numpy()[2:].astype(float)
    starts = np.cumsum([0, *map(len, TAKEN)])
    negatives = seen["draw"][0].numpy().reshape(7, 4)
    losses = []
    for row, user in enumerate(USERS):
        place = int(seen["draw_centres"][0][row])
        bag = [TAKEN[user][j] for j in neighbours_by_hand(TAKEN[user], place - starts[user], 2)]
        bag = [item for item in bag if item != LOG[place]]
        query = (users[user] + sum(inputs[item] for item in bag)) / (1 + len(bag))
        losses.append(loss_by_hand(query, outputs, LOG[place], negatives[row]))
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_distributed_bag_of_words_predicts_items_from_users_and_from_items(monkeypatch):
    model = model_of(TAKEN, 7, cls=User2Vec, architecture="pv_dbow", window=2, context_draws=2, num_negatives=4)
    seen = record(model, monkeypatch)
    loss = float(model.compute_loss(batch(), training=True))
    inputs, outputs = vectors_by_item(model)
    users = model._users.numpy()[2:].astype(float)
    context = seen["draw_context"][0]
    drawn = {len(found): found.numpy() for found in seen["draw"]}
    assert set(drawn) == {7 * 4, 7 * 2 * 4}
    of_users, of_pairs = drawn[28].reshape(7, 4), drawn[56].reshape(7, 2, 4)
    user_losses, pair_losses = [], []
    for row, user in enumerate(USERS):
        centre = LOG[int(seen["draw_centres"][0][row])]
        user_losses.append(loss_by_hand(users[user], outputs, centre, of_users[row]))
        for column in range(2):
            target = int(context.items[row, column])
            if bool(context.is_there[row, column]) and target != centre:
                pair_losses.append(loss_by_hand(inputs[centre], outputs, target, of_pairs[row, column]))
    assert loss == pytest.approx(np.mean(user_losses) + np.mean(pair_losses), rel=1e-5)


@pytest.mark.parametrize("similarity", ["context", "cosine"])
def test_scores_mix_the_users_own_vector_and_the_history(similarity):
    choices = {"profile": "history", "half_life": 2.0, "history_weight": 0.25, "popularity_power": 0.5}
    model = model_of(TAKEN, 7, history=4, cls=User2Vec, similarity=similarity, **choices)
    model.refresh()
    inputs, outputs = vectors_by_item(model)
    users = model._users.numpy()[2:].astype(float)
    if similarity == "cosine":
        inputs = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
        users = users / np.linalg.norm(users, axis=1, keepdims=True)
    counts = np.bincount(LOG, minlength=7)
    asked = [(0, [5, 3]), (0, []), (None, [4, 1]), (None, [])]
    found = model.scores(request([user for user, _ in asked], [items for _, items in asked])).numpy()
    for row, (user, items) in enumerate(asked):
        profile = profile_by_hand(items, 2.0)
        mean = sum(weight * inputs[item] for item, weight in profile.items()) / max(sum(profile.values()), 1e-9)
        share = 1.0 if user is None else 0.25 if items else 0.0
        query = share * mean + (1 - share) * (0 if user is None else users[user]) + np.zeros(3)
        if similarity == "cosine" and query.any():
            query = query / np.linalg.norm(query)
        candidates = outputs if similarity == "context" else inputs
        expected = [float(np.dot(query, candidates[i])) + 0.5 * math.log(1 + counts[i]) for i in range(6)]
        np.testing.assert_allclose(found[row, :6], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "window", "history_weight"), [("pv_dm", None, 0.0), ("pv_dm", 1, 0.5), ("pv_dbow", 1, 0.0)]
)
def test_items_of_the_users_community_come_first(architecture, window, history_weight):
    choices = {"architecture": architecture, "window": window, "history_weight": history_weight}
    require_own_community_first(*scores_after_training(User2Vec, **choices))
