"""Rating prediction: how logs are divided, the judge, and the command at a tiny size."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import rating_prediction
from benchmarks.ratings.cells import Place, finished, overrides
from benchmarks.ratings.entrants import Entrant, entrants
from benchmarks.ratings.judge import errors, global_mean, item_mean
from benchmarks.ratings.splits import LOGS, RatingLog, Ratings, divided, write_parts
from benchmarks.ratings.table import row, title
from tfrec.models.registry import model_class

FOLDS = RatingLog("tiny", "ratings.txt", "::", ("user", "item", "rating"), 5)
DRAWS = RatingLog("tiny", "ratings.txt", "::", ("user", "item", "rating"), 3, 0.1)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(20, 300), log=st.sampled_from([FOLDS, DRAWS]))
def test_every_rating_is_in_one_part_of_a_split(count, log):
    tests = []
    for number in range(1, log.splits + 1):
        parts = divided(count, log, number)
        assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(count))
        assert all((np.diff(rows) > 0).all() for rows in parts.values())
        assert len(parts["validation"]) == round(0.05 * (count - len(parts["test"])))
        again = divided(count, log, number)
        assert all(np.array_equal(rows, again[part]) for part, rows in parts.items())
        tests.append(parts["test"])
    if log is FOLDS:
        assert sorted(np.concatenate(tests).tolist()) == list(range(count))
        assert max(map(len, tests)) - min(map(len, tests)) <= 1
    else:
        assert {len(rows) for rows in tests} == {round(0.1 * count)}
        assert not np.array_equal(tests[0], tests[1])


def test_errors_are_those_of_plain_loops_and_the_unseen_get_the_mean():
    train = Ratings(np.array([1, 1, 2]), np.array([7, 8, 7]), np.array([5.0, 3.0, 2.5]))
    test = Ratings(np.array([1, 2, 3, 2]), np.array([7, 9, 7, 8]), np.array([4.0, 2.0, 5.0, 1.0]))
    predicted = np.array([4.5, 99.0, -99.0, 2.0])  # of user 3 and item 9 nothing is known: 3.5 is predicted
    found = errors(train, test, predicted)
    rests = [0.5, 1.5, -1.5, 1.0]
    assert found.rmse == pytest.approx(math.sqrt(sum(rest**2 for rest in rests) / 4))
    assert found.mae == pytest.approx(sum(map(abs, rests)) / 4)
    assert found.unseen == 2
    np.testing.assert_allclose(global_mean(train, test), [3.5] * 4)
    np.testing.assert_allclose(item_mean(train, test), [3.75, 3.5, 3.75, 3])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A log of 40 users whose ratings are what the user and the item say, a little off."""
    root = tmp_path_factory.mktemp("ratings")
    rng = np.random.default_rng(3)
    users, items = np.divmod(rng.permutation(40 * 25)[:700], 25)
    values = np.clip(np.round(3 + rng.normal(size=40)[users] + rng.normal(size=25)[items]), 1, 5)
    (root / "tiny").mkdir()
    lines = [f"{user + 1}::{item + 1}::{value:.0f}\n" for user, item, value in zip(users, items, values, strict=True)]
    (root / "tiny" / "ratings.txt").write_text("".join(lines), encoding="ascii")
    return Place(root, root / "work")


def test_the_files_of_a_split_hold_the_lines_of_the_log(place):
    parts = write_parts(FOLDS, place.data_dir, 2, place.work)
    found = [line for part in ("train", "validation", "test") for line in (parts / f"{part}.txt").read_text().split()]
    assert sorted(found) == sorted((place.data_dir / "tiny" / "ratings.txt").read_text().split())
    test = Ratings.read(parts / "test.txt", "::")
    lines = [f"{user}::{item}::{value:.0f}" for user, item, value in zip(test.users, test.items, test.values)]
    assert lines == (parts / "test.txt").read_text().split()


def test_a_cell_is_run_once_and_beats_the_means(place):
    entrant = Entrant(title="ALS", model="als", settings={"model.feedback": "explicit", "model.embedding_dim": 2})
    assert not entrant.has_epochs
    result = finished("als", entrant, entrant.on("tiny"), DRAWS, 1, place)
    parts = write_parts(DRAWS, place.data_dir, 1, place.work)
    train = Ratings.read(parts / "train.txt", "::").and_those(Ratings.read(parts / "validation.txt", "::"))
    test = Ratings.read(parts / "test.txt", "::")
    assert len(test.values) == 70
    assert result["rmse"] < 0.8 * errors(train, test, item_mean(train, test)).rmse
    assert result["unseen"] == 0
    (cell,) = (place.work / "cells" / "tiny" / "als").iterdir()
    assert sorted(path.name for path in cell.iterdir()) == ["cell.json", "log.txt"]
    written = cell.stat().st_mtime_ns
    assert finished("als", entrant, entrant.on("tiny"), DRAWS, 1, place) == result
    assert cell.stat().st_mtime_ns == written


def test_every_entrant_names_a_model_and_keys_that_it_has():
    for name, entrant in entrants().items():
        assert set(entrant.chosen) <= set(LOGS), name
        assert set(entrant.logs or ()) <= set(LOGS), name
        if entrant.model is not None:
            keys = {f"model.{key}" for key in model_class(entrant.model).Config.model_fields}
            used = {*entrant.settings, *entrant.space, *(key for one in entrant.chosen.values() for key in one)}
            assert {key for key in used if key.startswith("model.")} <= keys, name


def test_a_row_has_the_mean_and_the_spread_of_its_splits():
    results = [{"rmse": 0.9, "mae": 0.7, "fit_seconds": 2.0}, {"rmse": 0.94, "mae": 0.72, "fit_seconds": 3.0}]
    assert row("ALS", results) == "| ALS | 0.9200 | 0.0283 | 0.9000 0.9400 | 0.7100 | 2.5 |  |  |  |"
    assert title("ml-100k", LOGS["ml-100k"].meaning, [1, 2]).startswith("**ml-100k: 5-fold random cross-validation**")
    assert overrides({"model.l2": 0.5, "model.ks": [1, 2], "model.x": None}) == [
        "model.l2=0.5", "model.ks=[1, 2]", "model.x=null",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("--models", "svd"), "--models: svd"), (("--logs", "netflix"), "netflix"), (("--logs", "ml-1m"), "is absent")],
)
def test_the_caller_s_mistake_is_named_before_anything_runs(tmp_path, monkeypatch, capsys, arguments, named):
    given = ["--data-dir", str(tmp_path), "--work-dir", str(tmp_path / "work"), *arguments]
    monkeypatch.setattr(sys, "argv", ["rating_prediction", *given])
    with pytest.raises(SystemExit, match="2"):
        rating_prediction.main()
    assert named in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "work").exists()
