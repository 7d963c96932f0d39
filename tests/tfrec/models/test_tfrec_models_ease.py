"""EASE against regressions solved item by item, a published answer, and the contract of retrieval models."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts import PersonalContract
from tests.tfrec.models.taken_items import inputs_of, profile_by_hand, request
from tfrec.errors import ConfigError
from tfrec.models import ease
from tfrec.models.ease import EASE, EASEConfig
from tfrec.models.profiles.cold_start import TIE_BREAK
from trainer.checks.memory import Device, memory_need, require_fit

NON_DEFAULT = {"profile": "history", "half_life": 2.5, "l2": 7.5, "top": 9, "precision": "float32"}


class TestEASE(PersonalContract):
    model = "ease"
    non_default = NON_DEFAULT
    favourite_genre_share, favourite_genre_gain = 0.35, 2.5

    def test_the_stated_table_shapes_hold_the_matrix_twice_as_wide_and_the_weights(self, trained):
        model, data, config = trained
        size = data.catalogue.size
        shapes = model.table_shapes(config.model, data.schema, data.model_inputs.num_ids, size)
        assert [(s.rows, s.dim) for s in shapes] == [(size, 2 * size), (size, size)]
        assert [tuple(v.shape) for v in model._weights.state] == [(size, size)]


class TestEASEOfFewWeights(PersonalContract):
    model = "ease"
    overrides = ("model.top=30", "model.half_life=10", "model.profile=history", "model.l2=50")
    non_default = NON_DEFAULT
    favourite_genre_share, favourite_genre_gain = 0.55, 4.0


def weights_by_hand(taken, num_items, l2):
    """Column by column: a ridge regression of an item on all others."""
    x = np.array([[float(item in row) for item in range(num_items)] for row in taken])
    weights = np.zeros((num_items, num_items))
    for item in range(num_items):
        others = [other for other in range(num_items) if other != item]
        # Ridge as plain least squares: λ becomes rows of the matrix.
        matrix = np.vstack([x[:, others], np.sqrt(l2) * np.eye(len(others))])
        wanted = np.concatenate([x[:, item], np.zeros(len(others))])
        weights[others, item] = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    return weights


def fitted(taken, num_items, **config):
    inputs = inputs_of(taken, num_items)
    model = EASE(EASEConfig(**config), inputs)
    model.fit(inputs)
    return model


@settings(max_examples=40, deadline=None)
@given(
    taken=st.lists(st.lists(st.integers(0, 6), max_size=9), min_size=1, max_size=8).filter(any),
    l2=st.sampled_from([0.1, 1.0, 30.0]),
    half_life=st.sampled_from([None, 2.0]),
    precision=st.sampled_from(["float32", "float64"]),
)
def test_scores_are_those_of_a_ridge_regression_per_item(taken, l2, half_life, precision):
    weights = weights_by_hand(taken, 7, l2)
    counts = np.array([sum(row.count(item) for row in taken) for item in range(7)])
    expected = np.array([TIE_BREAK * counts / counts.max()] * len(taken))
    for user, row in enumerate(taken):
        for item, weight in profile_by_hand(row, half_life).items():
            expected[user] += weight * weights[item]
    found = fitted(taken, 7, l2=l2, half_life=half_life, precision=precision).scores(request(range(len(taken))))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def many_taken():
    random = np.random.default_rng(3)
    return [random.integers(0, 30, random.integers(0, 25)).tolist() for _ in range(80)]


def test_only_the_largest_weights_of_each_item_are_kept(many_taken):
    weights = weights_by_hand(many_taken, 30, 5.0)
    for row in weights:
        row[np.argsort(-np.abs(row))[4:]] = 0
    assert (weights < 0).any()
    popular = fitted(many_taken, 30, l2=5.0, top=4)
    found = popular.scores(request(range(80))).numpy() - popular.scores(request([None])).numpy()
    x = np.array([[float(item in row) for item in range(30)] for row in many_taken])
    np.testing.assert_allclose(found, x @ weights, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("top", [None, 4])
def test_blocks_change_nothing(many_taken, monkeypatch, top):
    whole = [variable.numpy() for variable in fitted(many_taken, 30, top=top).state]
    monkeypatch.setattr(ease, "BLOCK_VALUES", 70)
    for found, expected in zip(fitted(many_taken, 30, top=top).state, whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_fitting_leaves_the_interactions_in_the_order_of_time(many_taken):
    inputs = inputs_of(many_taken, 30)
    EASE(EASEConfig(), inputs).fit(inputs)
    assert [inputs.train.of_user(user).tolist() for user in range(80)] == many_taken


def test_a_penalty_that_float32_cannot_hold_is_refused_with_the_way_out():
    everything = [list(range(8))] * 3000
    with pytest.raises(ConfigError, match=r"model\.l2=1e-09: too small for float32.*model\.precision=float64"):
        fitted(everything, 8, l2=1e-9, precision="float32")
    with pytest.raises(ConfigError, match=r"model\.l2=1e-14: too small for float64, .*; raise it$"):
        fitted(everything, 8, l2=1e-14)


DATA = Path(os.environ.get("TFREC_DATA", Path(__file__).parents[3] / "../shared/data")) / "ml-1m-topn"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("l2", "expected"), [(200, (0.33349, 0.19276, 0.27184)), (300, (0.33922, 0.19539, 0.27638))], ids=str
)
def test_the_published_split_of_ml_1m_gives_the_published_answer(l2, expected):
    """Binary NDCG@10, recall@10 and precision@10 of a hold-out of "Top-N recommendation algorithms: a quest" (2022)."""
    if not DATA.exists():
        pytest.skip(f"{DATA} is absent")
    train, test = (np.loadtxt(DATA / f"{part}.tsv", dtype=int, usecols=(0, 1)) for part in ("train", "test"))
    users, items = (sorted({*train[:, column], *test[:, column]}) for column in (0, 1))
    taken, held_out = ([set() for _ in users] for _ in range(2))
    user_at, item_at = ({found: place for place, found in enumerate(ids)} for ids in (users, items))
    for pairs, rows in ((train, taken), (test, held_out)):
        for user, item in pairs.tolist():
            rows[user_at[user]].add(item_at[item])
    model = fitted([sorted(row) for row in taken], len(items), l2=l2)
    found = []
    for start in range(0, len(users), 500):
        scores = model.scores(request(range(start, min(start + 500, len(users))))).numpy()
        for user, row in enumerate(scores, start):
            wanted = held_out[user]
            row[list(taken[user])] = -np.inf
            hits = [place for place, item in enumerate(np.argsort(-row, kind="stable")[:10]) if item in wanted]
            ideal = sum(1 / np.log2(place + 2) for place in range(min(len(wanted), 10)))
            if wanted:
                ndcg = sum(1 / np.log2(place + 2) for place in hits) / ideal
                found.append((ndcg, len(hits) / len(wanted), len(hits) / 10))
    np.testing.assert_allclose(np.mean(found, axis=0), expected, atol=5e-6)


def test_a_matrix_that_does_not_fit_is_refused_before_anything_is_made(world):
    config = world.config("ease")
    need = memory_need(config, world.data().dataset)
    assert need.table_bytes == 4 * 121 * 121 * (2 + 1)
    with pytest.raises(ConfigError, match=r"ease needs about .* item_by_item of 121 rows .*choose another model"):
        require_fit(config, dataclasses.replace(need, data_bytes=0), Device("this machine", need.table_bytes - 1))
