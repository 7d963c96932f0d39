"""An index in the served model: the same lists as without, a card that says how good it is, nothing below the bound."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests.tfrec.export.conftest import Served
from tfrec.errors import ConfigError
from tfrec.export.saved_model import CARD
from tfrec.index import IndexConfig
from trainer.export import export_job, main
from trainer.release.cascade import export_cascade

USERS = [f"u{n:05d}" for n in range(0, 300, 41)]
ALL_LISTS = IndexConfig(kind="ivf", k=20, lists=8, probes=8, recall_at_least=0.99)


@pytest.fixture(scope="module")
def indexed(retrieval, tmp_path_factory):
    output = tmp_path_factory.mktemp("indexed")
    export_job(retrieval.job, str(output), index=ALL_LISTS)
    return Served(SimpleNamespace(export=lambda model: output), "two_tower")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"k": [40]},
        {"k": [121], "exclude_seen": [False]},
        {"k": [0]},
        {"k": [3, 1, 7, 0, 2, 5, 121, 4]},
        {"exclude_ids": [["", "i00001", "i00002", "no such item"]]},
        {"allow_ids": [["", "i00003", "i00004", "i00005", "no such item"]], "exclude_seen": [False]},
        {"allow_ids": [["", "no such item"]]},
    ],
    ids=str,
)
def test_with_all_lists_the_answers_are_those_of_scoring_the_catalogue(retrieval, indexed, given):
    expected = retrieval.ask("recommend", user_id=USERS, **given)
    answer = indexed.ask("recommend", user_id=USERS, **given)
    np.testing.assert_array_equal(answer["ids"] == b"", expected["ids"] == b"")
    np.testing.assert_allclose(answer["scores"], expected["scores"], rtol=1e-4, atol=1e-5)
    assert np.mean(answer["ids"] == expected["ids"]) > 0.98 if answer["ids"].size else True  # all but equal scores


def test_the_card_says_what_the_index_finds(indexed):
    found = json.loads((indexed.path / CARD).read_text(encoding="utf-8"))["index"]
    assert {name: found[name] for name in ("kind", "lists", "probes", "k", "recall")} == {
        "kind": "ivf",
        "lists": 8,
        "probes": 8,
        "k": 20,
        "recall": 1.0,
    }
    assert [point["probes"] for point in found["curve"]] == [1, 2]  # as far as tuning would go
    assert 0 < found["curve"][0]["recall"] <= found["curve"][1]["recall"] <= 1


def test_where_auto_goes_back_to_exact_the_vectors_are_not_saved_a_second_time(retrieval, tmp_path):
    version = export_job(retrieval.job, str(tmp_path), checks="none", index=IndexConfig(kind="auto"))
    card = json.loads((version / CARD).read_text(encoding="utf-8"))
    saved = {one["name"] for one in card["size"]["largest_variables"]}
    assert (card["index"]["kind"], card["index"]["why"]) == ("exact", "fewer than 20000 items")
    assert "item_vectors" in saved
    assert "vectors" not in saved


def test_an_index_below_the_bound_is_not_exported(retrieval, tmp_path):
    flags = ["--index", "ivf", "--recall-at-least", "1", "--recall-k", "3", "--index-set", "probes=1"]
    with pytest.raises(ConfigError, match=r"recall@3 is 0\.\d+ with 1 of 16 lists, and at least 1.0 was asked for"):
        main(["--job-dir", str(retrieval.job.path), "--output", str(tmp_path / "missed"), *flags])
    assert not (tmp_path / "missed").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--recall-at-least", "0.9"], "about an index; add --index ivf or auto"),
        (["--index", "ivf", "--index-set", "probs=3"], "did you mean 'probes'"),
        (["--index", "ivf", "--recall-at-least", "1.5"], "recall_at_least: got 1.5"),
        (["--index", "exact", "--index-set", "probes=3"], "lists and probes belong to the index ivf"),
    ],
)
def test_settings_that_cannot_be_meant_are_named(retrieval, tmp_path, flags, message):
    with pytest.raises(ConfigError, match=message):
        main(["--job-dir", str(retrieval.job.path), "--output", str(tmp_path / "none"), *flags])


def test_a_model_without_vectors_has_no_index_and_auto_goes_without(world, tmp_path):
    job = world.job("popularity")
    with pytest.raises(ConfigError, match="--index: popularity has no vectors of users and items"):
        export_job(job, str(tmp_path / "none"), index=IndexConfig(kind="ivf"))
    version = export_job(job, str(tmp_path / "auto"), index=IndexConfig(kind="auto"))
    assert json.loads((version / CARD).read_text(encoding="utf-8"))["index"] is None


def test_a_scann_index_says_to_the_caller_and_on_the_card_which_server_it_needs(retrieval, tmp_path, capsys):
    pytest.importorskip("scann", reason="the extra [scann] is not installed")
    flags = ["--index", "scann", "--recall-k", "20", "--index-set", "lists=8", "--index-set", "probes=8"]
    main(["--job-dir", str(retrieval.job.path), "--output", str(tmp_path), *flags])
    assert "--index scann needs a TensorFlow Serving with ScaNN's operations" in capsys.readouterr().err
    served = Served(SimpleNamespace(export=lambda model: tmp_path), "two_tower")
    card = json.loads((served.path / CARD).read_text(encoding="utf-8"))
    assert "the stock server cannot load this model" in card["index"]["needs"]
    assert (card["index"]["kind"], card["checks"]["fresh_process"]) == ("scann", False)
    answer, expected = (one.ask("recommend", user_id=USERS, k=[5]) for one in (served, retrieval))
    assert (
        np.mean(answer["ids"] == expected["ids"]) > 0.98
    )  # all lists, and all items scored again: but for equal scores


def test_without_scann_nothing_is_exported_and_one_line_says_why(retrieval, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scann.scann_ops.py", None)
    with pytest.raises(ConfigError, match="ScaNN is not installed; pip install"):
        main(["--job-dir", str(retrieval.job.path), "--output", str(tmp_path / "none"), "--index", "scann"])
    assert not (tmp_path / "none").exists()


# --- Inside a cascade ---


def of_cascade(sources, ranker, base, *settings, **given):
    found = Served.__new__(Served)
    found.path = export_cascade(sources, ranker, str(base), ["candidates=15", *settings], ["genres"], **given)
    found.saved = tf.saved_model.load(str(found.path))
    return found


def card_of(found):
    return json.loads((found.path / CARD).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cascades(world, retrieval, ranking, tmp_path_factory):
    """The same two sources, without an index and with one for each that has vectors."""
    base, jobs = tmp_path_factory.mktemp("cascades"), [retrieval.job, world.job("item_knn")]
    own = "indexes={two_tower: {kind: ivf, lists: 8, probes: 8, recall_at_least: 0.99}}"
    plain = of_cascade(jobs, ranking.job, base / "plain", checks="none")
    return plain, of_cascade(jobs, ranking.job, base / "indexed", own, checks="quick")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"k": [40]},
        {"k": [3, 1, 7, 0, 2, 5, 121, 4]},
        {"exclude_ids": [["", "i00001", "i00002", "no such item"]]},
        {"allow_ids": [["", "i00003", "i00004", "i00005", "no such item"]], "exclude_seen": [False]},
        {"filter_genres": [["Music"]], "exclude_seen": [False]},
    ],
    ids=str,
)
def test_a_cascade_over_an_index_of_all_lists_answers_as_one_that_scores_all_items(cascades, given):
    expected, answer = (one.ask("stages", user_id=USERS, **given) for one in cascades)
    np.testing.assert_array_equal(answer["ids"], expected["ids"])
    np.testing.assert_allclose(answer["scores"], expected["scores"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(answer["source_scores"], expected["source_scores"], rtol=1e-4, atol=1e-5)


def test_filters_act_before_the_cut_of_an_index_that_looks_into_few_lists(retrieval, ranking, tmp_path, log):
    few = IndexConfig(kind="ivf", lists=16, probes=1, recall_at_least=0.01)
    found = of_cascade([retrieval.job], ranking.job, tmp_path, index=few, checks="none")
    music = {item for item, row in log.items.items() if "Music" in row["genres"].split("|")}
    answer = found.ask("recommend", user_id=USERS, k=[121], exclude_seen=[False], filter_genres=[["Music"]])
    assert all({i.decode() for i in row if i} == music for row in answer["ids"])


def test_the_card_of_a_cascade_says_what_each_index_finds_among_its_candidates(cascades):
    plain, indexed = map(card_of, cascades)
    assert plain["indexes"] == {}
    assert plain["config"]["cascade"]["indexes"] == {}
    (name, report), *others = indexed["indexes"].items()
    assert (name, others) == ("two_tower", [])
    assert {key: report[key] for key in ("kind", "lists", "probes", "k", "recall")} == {
        "kind": "ivf",
        "lists": 8,
        "probes": 8,
        "k": 15,
        "recall": 1.0,
    }
    assert indexed["config"]["cascade"]["indexes"]["two_tower"]["k"] == 15


def test_one_flag_gives_an_index_to_each_source_that_has_vectors(world, retrieval, ranking, tmp_path, capsys):
    jobs = ["--job-dir", str(retrieval.job.path), "--job-dir", str(world.job("item_knn").path)]
    flags = [*jobs, "--ranker", str(ranking.job.path), "--output", str(tmp_path), "--checks", "none"]
    main([*flags, "--index", "auto", "--set", "indexes.two_tower={kind: ivf, probes: 2, recall_at_least: 0.1, k: 5}"])
    card = json.loads((tmp_path / "1" / CARD).read_text(encoding="utf-8"))
    assert {name: one["kind"] for name, one in card["indexes"].items()} == {"two_tower": "ivf"}
    assert card["indexes"]["two_tower"]["k"] == 5
    assert card["config"]["cascade"]["indexes"]["item_knn"]["kind"] == "auto"
    assert capsys.readouterr().out.strip() == str(tmp_path / "1")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("indexes={two_towers: {kind: ivf}}", "indexes: no source 'two_towers'; did you mean 'two_tower'"),
        ("indexes={two_tower: {kind: exact, probes: 3}}", "lists and probes belong to the index ivf"),
        ("indexes={item_knn: {kind: ivf}}", "--index: item_knn has no vectors of users and items"),
        ("indexes={two_tower: {kind: ivf, k: 3, probes: 1, recall_at_least: 1}}", r"recall@3 is 0\.\d+ with 1 of 16"),
    ],
)
def test_an_index_of_a_cascade_that_cannot_be_is_named(world, retrieval, ranking, tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        export_cascade([retrieval.job, world.job("item_knn")], ranking.job, str(tmp_path / "none"), [settings])
    assert not (tmp_path / "none").exists()
