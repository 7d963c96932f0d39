"""A trained job on the users and items of a later dataset: nothing is trained, and nothing known changes."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.tfrec.export.conftest import Served
from tests.trainer.grown_world import NEW_ITEMS, grown_data
from tests.trainer.planted_world import DEEPFM, TWO_TOWER_WITH_FEATURES
from tests.trainer.raw_rows import RawLog
from tfrec.dataset.directory import RAW_PREFIX, DatasetDirectory
from tfrec.dataset.records import read_part
from tfrec.errors import ArtifactError
from tfrec.export.refreshed import similar_items
from tfrec.schema import Schema
from trainer.model import load_model
from trainer.refresh import main
from trainer.release.later import later_catalogue, later_tables
from trainer.release.reencode import id_map, reencode, require_same_features
from trainer.release.refresh import refresh_job

USERS = ["u00090", "u00091", "u00200", "new_user", "nobody"]


@pytest.fixture(scope="module")
def later(world):
    return grown_data(world)


@pytest.fixture(scope="module")
def log(world):
    return RawLog(world.logs)


@pytest.fixture(scope="module")
def trained(world):
    return world.data()


def export_of(job, later, tmp_path_factory, model):
    found = Served.__new__(Served)
    found.job = job
    found.path = refresh_job(job, str(later.dataset.path), str(tmp_path_factory.mktemp(model)), checks="quick")
    found.saved = tf.saved_model.load(str(found.path))
    return found


@pytest.fixture(scope="module")
def towers(world, later, tmp_path_factory):
    """(the job's own export, the refreshed one)."""
    job = world.job("two_tower", *TWO_TOWER_WITH_FEATURES)
    return Served(job, "two_tower"), export_of(job, later, tmp_path_factory, "two_tower")


@pytest.fixture(scope="module")
def neighbours(world, later, tmp_path_factory):
    job = world.job("item_knn")
    return Served(job, "item_knn"), export_of(job, later, tmp_path_factory, "item_knn")


def raw_of(data, part, name):
    """Raw id → row of its encoded features."""
    ids = read_part(data.dataset, part)[RAW_PREFIX + name]
    return {one.decode(): place for place, one in enumerate(ids)}


def scores(answer):
    return [
        {i.decode(): float(score) for i, score in zip(ids, values, strict=True) if i}
        for ids, values in zip(answer["ids"], answer["scores"], strict=True)
    ]


# --- Encoded as the model was trained ---


def test_ids_are_translated_by_token(trained, later):
    feature = trained.schema.features["item_id"]
    found = id_map(trained.dataset, later.dataset, "item_id", feature)
    tokens = (trained.dataset.path / "vocabulary/item_id.txt").read_text().splitlines()
    others = (later.dataset.path / "vocabulary/item_id.txt").read_text().splitlines()
    expected = [0, 1, *((tokens.index(token) + 2 if token in tokens else 1) for token in others)]
    assert found.tolist() == expected
    assert expected[2:] != sorted(expected[2:])  # or the test would say nothing


@pytest.mark.parametrize(("part", "name"), [("items", "item_id"), ("users", "user_id")])
def test_what_both_datasets_have_is_encoded_alike(trained, later, part, name):
    ours, theirs = read_part(trained.dataset, part), read_part(later.dataset, part)
    features = {n: v for n, v in theirs.items() if n in later.schema.encoded and n != "history"}
    found = reencode(trained.dataset, later.dataset, part, features)
    first, second = raw_of(trained, part, name), raw_of(later, part, name)
    shared = [one for one in first if one in second]
    assert len(shared) > 100
    rows, others = [first[one] for one in shared], [second[one] for one in shared]
    for one, values in found.items():
        np.testing.assert_allclose(values[others], ours[one][rows], rtol=1e-6, err_msg=one)
    changed = [n for n in features if not np.array_equal(features[n][others], ours[n][rows])]
    assert changed  # or the test would say nothing


def test_a_history_names_the_same_items_in_the_ids_of_the_model(trained, later):
    history = read_part(later.dataset, "users")["history"]
    found = reencode(trained.dataset, later.dataset, "users", {"history": history})["history"]
    names = [*(later.dataset.path / "vocabulary/item_id.txt").read_text().splitlines()]
    known = [*(trained.dataset.path / "vocabulary/item_id.txt").read_text().splitlines()]
    for before, after in zip(history, found, strict=True):
        tokens = [names[i - 2] if i > 1 else None for i in before if i]
        assert [known[i - 2] if i > 1 else None for i in after if i] == [t if t in known else None for t in tokens]
        assert ((before == 0) == (after == 0)).all()


def test_the_catalogue_has_known_items_first_and_each_once(trained, later):
    found, order = later_catalogue(trained, later)
    ids = [one.decode() for one in found.catalogue.ids]
    ours = [one.decode() for one in trained.catalogue.ids]
    theirs = {one.decode() for one in later.catalogue.ids}
    assert ids[: len(found.known)] == [one for one in ours if one in theirs]
    assert set(ids) == theirs
    assert len(ids) == len(theirs)
    assert set(ids[len(found.known) :]) == set(NEW_ITEMS)
    assert [one.decode() for one in later.catalogue.ids[order]] == ids


def test_what_users_have_seen_is_that_of_the_later_dataset(trained, later):
    tables, _ = later_tables(trained, later)
    events = later.interactions("train", "validation", "test")
    for user in range(events.num_users):
        expected = later.catalogue.ids[events.of_user(user)].tolist()
        assert tables.catalogue.ids[tables.seen.of_user(user)].tolist() == expected


# --- A model with an item tower ---


def test_known_items_keep_their_scores(towers):
    own, found = towers
    asked = {"user_id": ["nobody"] * 2, "history": [["i0010", "i0020", "i0030"], ["i0040", "", ""]], "k": [130]}
    before, after = (scores(one.ask("recommend", exclude_seen=[False], **asked)) for one in (own, found))
    for one, other in zip(before, after, strict=True):
        shared = set(one) & set(other)
        assert len(shared) > 100
        assert {item: other[item] for item in shared} == pytest.approx({item: one[item] for item in shared}, rel=1e-5)
        assert set(other) - set(one) == set(NEW_ITEMS)


def test_new_items_are_placed_by_the_item_tower(towers):
    own, found = towers
    asked = {"user_id": ["nobody"], "history": [["i0010", "i0020"]]}
    user = own.ask("user_embedding", **asked)["embeddings"]
    genres = [(value.split("|") + [""])[:2] for value in NEW_ITEMS.values()]
    items = own.ask("item_embedding", item_id=list(NEW_ITEMS), genres=genres)["embeddings"]
    expected = dict(zip(NEW_ITEMS, (user @ items.T)[0].tolist(), strict=True))
    after = scores(found.ask("recommend", k=[130], exclude_seen=[False], **asked))[0]
    assert {item: after[item] for item in NEW_ITEMS} == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_users_are_those_of_the_later_dataset(towers, trained, later):
    _, found = towers
    tables, _ = later_tables(trained, later)
    events = later.interactions("train", "validation", "test")
    items, users = ([i.decode() for i in ids] for ids in (later.catalogue.ids, tables.user_ids))
    given = [[items[i] for i in events.of_user(users.index(user))[-20:]] for user in USERS[:4]]
    width = max(map(len, given))
    rows = [[*row, *[""] * (width - len(row))] for row in given]
    looked_up = found.ask("recommend", user_id=USERS[:4], k=[10])
    asked = found.ask("recommend", user_id=USERS[:4], k=[10], history=rows)
    assert (looked_up["ids"] == asked["ids"]).all()
    for user, ids in zip(USERS, looked_up["ids"], strict=False):
        assert not {i.decode() for i in ids} & set(given[USERS.index(user)])


def test_items_that_are_gone_are_not_listed_and_new_ones_are_shown(towers, later):
    own, found = towers
    names = {i.decode() for i in later.catalogue.ids}
    for row in scores(found.ask("recommend", user_id=USERS, k=[200], exclude_seen=[False])):
        assert set(row) == names
    shown = found.ask("items", item_ids=["brand_new", "i0050"])
    assert shown["title"][0] == b"brand_new"
    assert shown["title"][1] == own.ask("items", item_ids=["i0050"])["title"][0]


def test_reasons_of_known_items_stay_and_new_ones_have_none(towers):
    own, found = towers
    asked = {"user_id": ["nobody"], "history": [["i0010", "i0020"]], "candidate_ids": [["i0050", "brand_new"]]}
    before, after = own.ask("explain", **asked), found.ask("explain", **asked)
    assert (before["reasons"][0, 0] == after["reasons"][0, 0]).all()
    assert (after["reasons"][0, 1] == b"").all()


def test_the_card_says_what_is_new(towers, trained, later):
    card = json.loads((towers[1].path / "model_card.json").read_text())
    ours, theirs = ({i.decode() for i in data.catalogue.ids} for data in (trained, later))
    assert card["refreshed"] == {
        "dataset_fingerprint": later.dataset.fingerprint,
        "new_users": 1,
        "new_items": len(theirs - ours),
        "dropped_items": len(ours - theirs),
        "placed_by": {"item_tower": 3},
    }
    assert card["num_items"] == len(theirs)
    assert card["dataset_fingerprint"] == trained.dataset.fingerprint


# --- A model of ids alone ---


def test_new_items_of_a_model_of_ids_get_the_scores_of_those_like_them(neighbours, world, later):
    own, found = neighbours
    model, data, _ = load_model(own.job)
    catalogue, _ = later_catalogue(data, later)
    places, weights = similar_items(model.inputs, catalogue)
    ids = [i.decode() for i in catalogue.catalogue.ids[len(catalogue.known) :]]
    asked = {"user_id": ["u00200"], "k": [130], "exclude_seen": [False], "history": [["i0010", "i0020"]]}
    before, after = (scores(one.ask("recommend", **asked))[0] for one in (own, found))
    for item, of_item, shares in zip(ids, places, weights, strict=True):
        likes = [(data.catalogue.ids[place].decode(), share) for place, share in zip(of_item, shares, strict=True)]
        expected = sum(before[name] * share for name, share in likes) if shares.sum() else min(before.values())
        assert after[item] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_the_items_most_like_a_new_one_share_its_features(world, later, log):
    model, data, _ = load_model(world.job("item_knn"))
    catalogue, _ = later_catalogue(data, later)
    places, weights = similar_items(model.inputs, catalogue)
    counts = model.inputs.train.item_counts()
    for item, of_item, shares in zip(catalogue.catalogue.ids[len(catalogue.known) :], places, weights, strict=True):
        genres = set(NEW_ITEMS[item.decode()].split("|"))
        if genres == {"Telenovela"}:  # a genre that the model has not seen
            assert shares.sum() == 0
            continue
        assert shares.sum() == pytest.approx(1)
        for place in of_item[shares > 0]:
            assert genres & set(log.items[data.catalogue.ids[place].decode()]["genres"].split("|"))
            assert counts[place] > 0
        if genres == {"Comedy"}:  # comedies alone are most like it
            alone = [i for i in catalogue.known if log.items[data.catalogue.ids[i].decode()]["genres"] == "Comedy"]
            taken = [i for i in alone if counts[i] > 0]
            assert len(set(of_item) & set(taken)) == min(len(taken), 10)


# --- A ranking model, and what is refused ---


def test_a_ranking_model_knows_the_features_of_new_items(world, later, tmp_path_factory):
    job = world.job("deepfm", *DEEPFM)
    own, found = Served(job, "deepfm"), export_of(job, later, tmp_path_factory, "deepfm")
    genres = [(value.split("|") + [""])[:2] for value in NEW_ITEMS.values()]
    asked = {"user_id": ["u00200"] * 3, "item_id": list(NEW_ITEMS)}
    expected = own.ask("serving_default", genres=genres, **asked)["scores"]
    np.testing.assert_allclose(found.ask("serving_default", **asked)["scores"], expected, rtol=1e-5)


def test_a_dataset_of_other_features_is_refused(trained, later, tmp_path):
    copy = tmp_path / "other"
    shutil.copytree(later.dataset.path, copy)
    content = json.loads((copy / "schema.json").read_text())["schema"]
    content["features"]["genres"]["max_values"] = 2
    Schema.model_validate(content).save(copy / "schema.json")
    with pytest.raises(ArtifactError, match=r"feature 'genres' is not the same as in .*; train on the new"):
        require_same_features(trained.dataset, DatasetDirectory(copy))


def test_the_command_writes_the_next_version_and_prints_it(world, later, tmp_path, capsys):
    job = world.job("item_knn")
    flags = ["--job-dir", str(job.path), "--dataset", str(later.dataset.path), "--output", str(tmp_path / "served")]
    main([*flags, "--checks", "none"])
    assert capsys.readouterr().out.strip() == str(tmp_path / "served" / "1")
    assert (tmp_path / "served" / "1" / "saved_model.pb").exists()
