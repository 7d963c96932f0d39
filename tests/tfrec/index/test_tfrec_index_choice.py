"""Tuning: the curve is what a search finds, the bound holds, and what misses it is refused or answered exactly."""

import numpy as np
import pytest
from pydantic import ValidationError

from tfrec.errors import ConfigError
from tfrec.index import ExactIndex, IndexConfig, IvfIndex, choose_index, partition
from tfrec.index import choice as choice_module
from tfrec.index.recall import recall_by_probes, recall_of_rows
from tfrec.index.tuning import search_all

K = 10


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(40, 12))
    vectors = (centres[rng.integers(0, 40, 3000)] + 0.4 * rng.normal(size=(3000, 12))).astype(np.float32)
    queries = (centres[rng.integers(0, 40, 120)] + 0.4 * rng.normal(size=(120, 12))).astype(np.float32)
    return vectors, queries


@pytest.fixture(scope="module")
def tuned(world):
    return choose_index(*world, IndexConfig(kind="ivf", k=K, recall_at_least=0.9))


def plain_recall(items, queries, vectors):
    """Mean share of the true best items among those found."""
    shares = []
    for query, found in zip(queries, items, strict=True):
        best = np.argsort(-(vectors.astype(np.float64) @ query))[: len(found)]
        shares.append(len(set(best.tolist()) & set(found.tolist())) / len(found))
    return np.mean(shares)


def test_the_curve_is_the_recall_of_searching_with_so_many_probes(world, tuned):
    vectors, queries = world
    parts = partition(vectors, tuned.report.lists, 1)
    for point in tuned.report.curve[5::8]:
        index = IvfIndex(vectors, parts, point.probes, 10**6)
        for k, stated in ((K, point.recall), (2 * K, point.recall_deeper)):
            items = search_all(index, queries[::2], k).items
            assert plain_recall(items, queries[::2], vectors) == pytest.approx(stated, abs=1e-9)


def test_the_fewest_probes_that_reach_the_bound_are_taken_and_measured_on_other_queries(world, tuned):
    vectors, queries = world
    report = tuned.report
    assert report.probes == min(p.probes for p in report.curve if min(p.recall, p.recall_deeper) >= 0.9)
    assert (report.kind, report.k, report.depth, report.queries) == ("ivf", K, 2 * K, 60)
    items = search_all(tuned.index, queries[1::2], K).items
    assert report.recall == pytest.approx(plain_recall(items, queries[1::2], vectors), abs=1e-9)
    assert report.recall_low <= report.recall <= report.recall_high


def test_the_share_that_is_scored_grows_with_the_probes_up_to_the_largest_part_allowed(tuned):
    shares = [point.share_scored for point in tuned.report.curve]
    assert shares == sorted(shares)
    assert shares[0] < 0.05
    assert shares[-1] < 0.5


def test_a_bound_that_few_lists_miss_is_an_error_that_says_what_was_reached(world):
    with pytest.raises(ConfigError, match=r"recall@10 is 0\.\d{3} with 1 of 128 lists, and at least 1\.0 was asked"):
        choose_index(*world, IndexConfig(kind="ivf", k=K, recall_at_least=1.0, probes=1))


def test_auto_falls_back_to_exact_rather_than_miss_the_bound(world, monkeypatch):
    monkeypatch.setattr(choice_module, "FEWEST_ITEMS", 100)
    chosen = choose_index(*world, IndexConfig(kind="auto", k=K, recall_at_least=1.0, probes=1))
    assert isinstance(chosen.index, ExactIndex)
    assert (chosen.report.kind, chosen.report.recall) == ("exact", 1.0)
    assert "recall@10" in chosen.report.why
    assert choose_index(*world, IndexConfig(kind="auto", k=K, recall_at_least=0.9)).report.kind == "ivf"


def test_auto_takes_exact_for_a_small_catalogue_and_ivf_refuses_too_few_queries(world):
    vectors, queries = world
    assert choose_index(vectors, queries, IndexConfig(kind="auto")).report.kind == "exact"
    with pytest.raises(ConfigError, match="39 sample queries, and 40 are needed"):
        choose_index(vectors, queries[:39], IndexConfig(kind="ivf"))


def test_recall_takes_equally_near_items_for_equally_good():
    nearest = np.array([[3.0, 2.0, 2.0], [1.0, 0.5, 0.0], [-1.0, -2.0, -3.0]])
    found = np.array([[3.0, 2.0, 2.0], [1.0, 0.0, -1.0], [-2.0, -4.0, -np.inf]])
    np.testing.assert_allclose(recall_of_rows(found, nearest), [1.0, 2 / 3, 1 / 3])


def test_all_probes_find_all(world):
    vectors, queries = world
    parts = partition(vectors, 20)
    nearest = np.argsort(-(queries @ vectors.T), axis=1)[:, :K]
    curve = recall_by_probes(queries, nearest, parts, 20)
    assert curve[-1] == 1.0
    assert np.all(np.diff(curve) >= 0)


@pytest.mark.parametrize("wrong", [{"probes": 4}, {"kind": "ivf", "probes": 65}, {"recall_at_least": 0}, {"k": 0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        IndexConfig(**wrong)


@pytest.mark.parametrize("config", [{"kind": "ivf", "lists": 7, "probes": 3, "k": 5, "seed": 9}, {"kind": "auto"}])
def test_settings_survive_being_written(config):
    config = IndexConfig(**config)
    assert IndexConfig.model_validate_json(config.model_dump_json()) == config
