"""What a refreshed version keeps of the one before: its filters, its index (tuned again), its cascade."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.tfrec.export.conftest import Served
from tests.trainer.grown_world import NEW_ITEMS, grown_data
from tests.trainer.planted_world import DEEPFM, TWO_TOWER_WITH_FEATURES
from tfrec.errors import ArtifactError, ConfigError
from tfrec.export.inner_products import InnerProducts, of_towers, with_last
from tfrec.export.refreshed import refreshed
from tfrec.export.saved_model import CARD
from tfrec.index import IndexConfig
from trainer.export import export_job
from trainer.model import load_model
from trainer.refresh import main
from trainer.release.cascade import export_cascade
from trainer.release.later import later_catalogue
from trainer.release.previous import Previous, previous_choices
from trainer.release.refresh import refresh_cascade, refresh_job

USERS = ["u00090", "u00091", "u00200", "new_user", "nobody"]
ALL_LISTS = IndexConfig(kind="ivf", k=20, lists=8, probes=8, recall_at_least=0.99)


@pytest.fixture(scope="module")
def later(world):
    return grown_data(world)


@pytest.fixture(scope="module")
def job(world):
    return world.job("two_tower", *TWO_TOWER_WITH_FEATURES)


@pytest.fixture(scope="module")
def ids_alone(world):
    """A model with two towers that reads of items the id alone."""
    return world.job("two_tower")


def served(path):
    found = Served.__new__(Served)
    found.path, found.saved = path, tf.saved_model.load(str(path))
    return found


def card_of(found):
    return json.loads((found.path / CARD).read_text(encoding="utf-8"))


def encoded_users(data, model, rows=40):
    columns = data.columns("train", sorted(model.required_features))
    return {name: tf.constant(values[:rows]) for name, values in columns.items()}


# --- Inner products on the later catalogue ---


@pytest.mark.parametrize("name", ["job", "ids_alone"])
def test_scores_of_a_refreshed_model_are_products_with_the_vectors_of_all_items(name, request, later):
    model, data, _ = load_model(request.getfixturevalue(name))
    found = refreshed(model, later_catalogue(data, later)[0])
    products, users = found.inner_products(), encoded_users(data, model)
    expected = found.scores(users).numpy()
    scores = products.embed_queries(users).numpy() @ products.vectors.T
    is_last = products.is_last
    assert is_last.sum() == found.placed_by.get("last", 0) == (0 if name == "job" else 1)
    np.testing.assert_allclose(scores[:, ~is_last], expected[:, ~is_last], rtol=1e-4, atol=1e-5)
    for row in np.flatnonzero(is_last):
        assert (scores[:, row] < scores[:, ~is_last].min(axis=1)).all()
        np.testing.assert_allclose(expected[:, row], expected[:, ~is_last].min(axis=1), rtol=1e-5)


def test_what_comes_last_does_so_for_queries_of_all_directions():
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(20, 4)).astype(np.float32) * rng.lognormal(sigma=2, size=(20, 1)).astype(np.float32)
    is_last = np.isin(np.arange(20), [4, 19])
    found = with_last(InnerProducts(lambda q: q["q"], vectors, np.zeros(20, bool)), is_last)
    queries = np.concatenate([rng.normal(size=(50, 4)), -vectors[~is_last]]).astype(np.float32)
    scores = found.embed_queries({"q": tf.constant(queries)}).numpy() @ found.vectors.T
    np.testing.assert_allclose(scores[:, ~is_last], queries @ vectors[~is_last].T, rtol=1e-5)
    assert (scores[:, is_last].max(axis=1) < scores[:, ~is_last].min(axis=1)).all()


def test_vectors_for_reasons_begin_those_of_the_item_tower(job, later):
    model, data, _ = load_model(job)
    catalogue, _ = later_catalogue(data, later)
    found, own = refreshed(model, catalogue).item_vectors_for_reasons().numpy(), of_towers(model).vectors
    np.testing.assert_allclose(found[: len(catalogue.known)], own[catalogue.known], rtol=1e-6)
    new = slice(len(catalogue.known), None)
    of_new = {name: tf.constant(values[new]) for name, values in catalogue.catalogue.features.items()}
    np.testing.assert_allclose(found[new], model.embed_items(of_new).numpy(), rtol=1e-6)


# --- One model ---


def test_a_refreshed_version_has_the_filters_and_the_index_of_the_one_before(ids_alone, later, tmp_path):
    dataset = str(later.dataset.path)
    export_job(ids_alone, str(tmp_path / "kept"), ["genres"], "none", ALL_LISTS)
    kept = served(refresh_job(ids_alone, dataset, str(tmp_path / "kept")))
    plain = served(refresh_job(ids_alone, dataset, str(tmp_path / "plain"), ["genres"], "none"))
    assert kept.path.name == "2"
    card, count = card_of(kept), later.catalogue.size
    assert card["filters"] == [{"feature": "genres", "kind": "any_of"}]
    assert {n: card["index"][n] for n in ("kind", "num_items", "recall")} == {
        "kind": "ivf",
        "num_items": count,
        "recall": 1.0,
    }
    assert previous_choices(tmp_path / "kept", "two_tower") == Previous(
        ("genres",), ALL_LISTS
    )  # the next one keeps them too
    assert card_of(plain)["index"] is None
    for given in ({}, {"k": [130], "exclude_seen": [False]}, {"filter_genres": [["Comedy", "Telenovela"]], "k": [60]}):
        answer, expected = (one.ask("recommend", user_id=USERS, **given) for one in (kept, plain))
        assert np.mean(answer["ids"] == expected["ids"]) > 0.98  # all but equal scores
        is_apart = expected["ids"] == b"unlike_any"  # last in both, with other scores
        np.testing.assert_allclose(answer["scores"][~is_apart], expected["scores"][~is_apart], rtol=1e-4, atol=1e-5)
    everything = kept.ask("recommend", user_id=USERS, k=[count], exclude_seen=[False])["ids"]
    assert all(set(NEW_ITEMS) <= {i.decode() for i in row} for row in everything)


def test_a_refreshed_index_below_its_recall_is_refused_and_the_version_before_stays(job, later, tmp_path):
    few = IndexConfig(kind="ivf", k=3, probes=1, recall_at_least=0.01)
    export_job(job, str(tmp_path), (), "none", few)
    flags = ["--job-dir", str(job.path), "--dataset", str(later.dataset.path), "--output", str(tmp_path)]
    with pytest.raises(ConfigError, match=r"recall@3 is 0\.\d+ with 1 of \d+ lists, and at least 1.0 was asked for"):
        main([*flags, "--index", "ivf", "--recall-at-least", "1", "--recall-k", "3", "--index-set", "probes=1"])
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    main([*flags, "--index", "exact", "--checks", "none"])
    assert json.loads((tmp_path / "2" / CARD).read_text())["index"] is None


def test_a_card_that_cannot_be_read_is_named(job, later, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / CARD).write_text('{"filters": 3}')
    with pytest.raises(ArtifactError, match=r"model_card.json: cannot be read \(.*\); say what"):
        refresh_job(job, str(later.dataset.path), str(tmp_path))


def test_versions_of_another_model_are_not_gone_on_with(job, later, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / CARD).write_text('{"model_name": "two_tower+deepfm"}')
    with pytest.raises(ConfigError, match=r"holds versions of two_tower\+deepfm, not of two_tower; name its jobs"):
        refresh_job(job, str(later.dataset.path), str(tmp_path))


# --- A cascade ---


@pytest.mark.slow
def test_a_refreshed_cascade_answers_as_its_refreshed_parts_do(world, job, later, tmp_path):
    ranker, dataset = world.job("deepfm", *DEEPFM), str(later.dataset.path)
    settings = ["candidates=15", "indexes.two_tower={kind: ivf, lists: 8, probes: 8, recall_at_least: 0.99}"]
    export_cascade([job], ranker, str(tmp_path / "cascade"), settings, ["genres"], "none")
    cascade = served(refresh_cascade([job], ranker, dataset, str(tmp_path / "cascade")))
    parts = [
        served(refresh_job(one, dataset, str(tmp_path / name), checks="none"))
        for one, name in ((job, "two_tower"), (ranker, "deepfm"))
    ]
    allowed = [*NEW_ITEMS, *(f"i{n:04d}" for n in range(10, 40))]
    asked = {"user_id": USERS, "allow_ids": [allowed], "exclude_seen": [False]}
    lists = parts[0].ask("recommend", k=[15], **asked)["ids"]
    expected = parts[1].ask("rank", user_id=USERS, candidate_ids=[[i.decode() for i in row] for row in lists])
    found = cascade.ask("recommend", k=[15], **asked)
    assert (found["ids"] == expected["ids"]).mean() > 0.98
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-4, atol=1e-5)
    assert set(NEW_ITEMS) & {i.decode() for i in found["ids"].ravel()}
    card = card_of(cascade)
    assert card["filters"] == [{"feature": "genres", "kind": "any_of"}]
    assert card["indexes"]["two_tower"]["num_items"] == card["num_items"] == later.catalogue.size
    assert card["refreshed"]["placed_by"] == {"two_tower": {"item_tower": 3}}


def test_a_cascade_that_re_orders_is_refreshed_by_command(world, job, later, tmp_path, capsys):
    ranker = world.job("deepfm", *DEEPFM)
    jobs = ["--job-dir", str(job.path), "--ranker", str(ranker.path), "--dataset", str(later.dataset.path)]
    mmr = ["--set", "candidates=20", "--set", "diversity={kind: mmr, weight: 0.5}"]
    main([*jobs, "--output", str(tmp_path), *mmr, "--checks", "none"])
    assert capsys.readouterr().out.strip() == str(tmp_path / "1")
    found = served(tmp_path / "1").ask("recommend", user_id=USERS, k=[130], exclude_seen=[False])
    assert all({i.decode() for i in row} == {i.decode() for i in later.catalogue.ids} for row in found["ids"])
    with pytest.raises(ConfigError, match="say where to with --output"):
        main(jobs)
    with pytest.raises(ConfigError, match="add --ranker JOB"):
        main(["--job-dir", str(job.path), "--dataset", str(later.dataset.path), *mmr])
