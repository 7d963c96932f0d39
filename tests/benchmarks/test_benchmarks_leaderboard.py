"""The split files that all libraries read, and the judge of what they answer."""

import re

import numpy as np
import pytest
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from benchmarks.quality.arena import DATASETS, HERE
from benchmarks.quality.clicks import Clicks, logits_of, resampled
from benchmarks.quality.entrants import our_models, peers
from benchmarks.quality.export_splits import splits_of
from benchmarks.quality.judge import Truth, catalogue_coverage, per_user, ranked_lists
from benchmarks.quality.lists import (
    RawLists,
    asked_users,
    best_unseen,
    named,
    read_raw_lists,
    taken,
    without_seen,
    write_raw_lists,
)
from benchmarks.quality.splits import QUERY_SETS, SPLITS, Events, Splits, read_splits, write_splits
from benchmarks.training.venvs import PINNED
from tests.trainer.planted_world import read_csv
from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import DataError
from tfrec.models.registry import model_names
from trainer.data import JobData
from trainer.evaluation.queries import retrieval_queries

VALIDATION, TEST, TRAINING_HISTORY = QUERY_SETS


def events(rows):
    users, items = np.array(rows, np.int64).reshape(-1, 2).T
    return Events(users, items, np.ones(len(users)), np.arange(len(users)))


@pytest.fixture
def tiny():
    """Four users, five items; user 3 only trains, user 2 is asked for an item that the user has seen."""
    return Splits(
        np.array(["ann", "bob", "cy", "dee"]),
        np.array(["i0", "i1", "i2", "i3", "i4"]),
        {
            "train": events([(0, 0), (1, 1), (2, 2), (3, 0)]),
            "validation": events([(0, 1), (1, 2), (2, 0)]),
            "test": events([(0, 3), (1, 4), (2, 2)]),
        },
    )


@pytest.fixture(scope="module")
def drawn():
    """Random splits of 40 users and 60 items; users have several test items, and some repeat an item."""
    rng = np.random.default_rng(4)
    parts = {}
    for name, size in (("train", 600), ("validation", 80), ("test", 90)):
        users = np.sort(rng.integers(0, 40, size))
        parts[name] = Events(users, rng.integers(0, 60, size), np.ones(size), np.arange(size))
    return Splits(np.array([f"u{n}" for n in range(40)]), np.array([f"i{n}" for n in range(60)]), parts)


def test_the_split_files_hold_the_rows_of_the_log(world, tmp_path):
    """Checked against the log itself: the last event of a user is test, the one before validation."""
    write_splits(tmp_path, splits_of(DatasetDirectory(world.dataset())))
    logs = {}
    for row in read_csv(world.logs / "events.csv"):
        logs.setdefault(row["user_id"], []).append(row)
    expected = {name: set() for name in SPLITS}
    for user, rows in logs.items():
        rows.sort(key=lambda row: int(row["timestamp"]))  # stable: ties stay in the order of the file
        for position, row in enumerate(rows):
            place = {len(rows) - 1: "test", len(rows) - 2: "validation"}.get(position, "train")
            line = (user, row["item_id"], f"{float(float(row['rating']) >= 4):g}", str(position))
            expected[place if len(rows) >= 3 else "train"].add(line)
    for name, rows in expected.items():
        lines = (tmp_path / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[1:]
        assert {tuple(line.split("\t")) for line in lines} == rows
        assert len(lines) == len(rows)


def test_split_files_keep_indices_order_and_ratings(world, tmp_path):
    written = splits_of(DatasetDirectory(world.dataset()))
    write_splits(tmp_path, written)
    found = read_splits(tmp_path)
    np.testing.assert_array_equal(found.users, written.users)
    np.testing.assert_array_equal(found.items, written.items)
    for name in SPLITS:
        for column in ("users", "items", "ratings", "positions"):
            np.testing.assert_array_equal(getattr(found.events[name], column), getattr(written.events[name], column))


@pytest.mark.parametrize(("asked", "history"), [(VALIDATION, "at_event"), (TEST, "at_event")])
def test_the_judge_asks_what_the_trainer_asks(world, asked, history):
    dataset = DatasetDirectory(world.dataset())
    truth, queries = Truth.of(splits_of(dataset), asked), retrieval_queries(JobData(dataset), asked.asked, history)
    np.testing.assert_array_equal(truth.users, queries.users)
    np.testing.assert_array_equal(np.diff(truth.relevant_splits), queries.relevant_counts)
    pairs = set(zip(queries.users[queries.relevant_rows].tolist(), queries.relevant_items.tolist(), strict=True))
    rows = np.repeat(truth.users, np.diff(truth.relevant_splits))
    assert set(zip(rows.tolist(), truth.relevant_items.tolist(), strict=True)) == pairs


def test_who_has_nothing_new_to_find_is_not_asked(tiny):
    truth = Truth.of(tiny, TEST)
    assert truth.users.tolist() == [0, 1]
    assert truth.relevant_items.tolist() == [3, 4]


@pytest.mark.parametrize("asked", QUERY_SETS)
def test_metrics_of_lists_are_those_of_plain_loops(drawn, asked, tmp_path):
    users = asked_users(drawn, asked)
    scores = np.random.default_rng(9).integers(0, 15, (len(users), 60)).astype(float)  # many ties
    write_raw_lists(
        tmp_path / "lists.npz", named(drawn, users, best_unseen(scores, taken(drawn, asked.seen, users), 12))
    )
    lists = ranked_lists(drawn, Truth.of(drawn, asked), read_raw_lists(tmp_path / "lists.npz"), "test")
    found = per_user(lists)

    def items_of(user, names):
        return {
            item
            for name in names
            for one, item in zip(drawn.events[name].users, drawn.events[name].items, strict=True)
            if one == user
        }

    ndcg, hits, shown = [], [], set()
    for row, user in enumerate(users.tolist()):
        seen = items_of(user, asked.seen)
        wanted = items_of(user, [asked.asked]) - seen
        if not wanted:
            continue
        ranked = sorted(set(range(60)) - seen, key=lambda item: (-scores[row, item], item))[:10]
        shown |= set(ranked)
        gains = sum(1 / np.log2(rank + 2) for rank, item in enumerate(ranked) if item in wanted)
        ndcg.append(gains / sum(1 / np.log2(rank + 2) for rank in range(min(len(wanted), 10))))
        hits.append(float(bool(wanted & set(ranked))))
    assert 0.05 < np.mean(ndcg) < 0.95
    np.testing.assert_allclose(found["ndcg_at_10"], ndcg)
    np.testing.assert_allclose(found["hit_rate_at_10"], hits)
    assert catalogue_coverage(lists, 60) == pytest.approx(len(shown) / 60)


def test_a_library_s_own_lists_lose_what_was_seen_and_keep_their_order(tiny):
    users = np.array([0, 1])
    seen = taken(tiny, TRAINING_HISTORY.seen, users)
    assert seen.tolist() == [[True, True, False, False, False], [False, True, True, False, False]]
    listed = np.array([[1, 4, -1, 0, 3], [2, 1, 0, 4, 3]])
    assert without_seen(listed, seen, 3).tolist() == [[4, 3, -1], [0, 4, 3]]
    assert named(tiny, users, without_seen(listed, seen, 3)).items.tolist() == [["i4", "i3", ""], ["i0", "i4", "i3"]]


def test_scores_that_are_no_numbers_are_not_listed(tiny):
    scores = np.array([[np.nan, 1.0, -np.inf, 2.0, 2.0]])
    assert best_unseen(scores, np.zeros((1, 5), bool), 4).tolist() == [[3, 4, 1, -1]]


def test_a_user_without_a_list_finds_nothing(tiny):
    lists = ranked_lists(tiny, Truth.of(tiny, TEST), RawLists(np.array(["ann"]), np.array([["i3"]])), "x")
    assert per_user(lists)["hit_rate_at_10"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("users", "items", "named_in_error"),
    [
        (["eve"], [["i3"]], "user 'eve'"),
        (["ann"], [["i9"]], "item 'i9'"),
        (["ann", "ann"], [["i3"], ["i4"]], "two lists"),
        (["ann"], [["i3", "i3"]], "twice"),
        (["ann"], [["i3", "", "i4"]], "gap"),
        (["ann"], [["i1", "i3"]], "user ann is recommended item i1"),  # taken in validation
    ],
)
def test_a_library_s_mistake_is_named(tiny, users, items, named_in_error):
    with pytest.raises(DataError, match=named_in_error):
        ranked_lists(tiny, Truth.of(tiny, TEST), RawLists(np.array(users), np.array(items)), "x")


def clicks(seed, events=400, users=30):
    rng = np.random.default_rng(seed)
    labels = (rng.random(events) < 0.4).astype(float)
    logits = np.round(labels + rng.normal(size=events), 1)  # ties
    return Clicks.of(rng.integers(0, users, events), np.arange(events), labels, logits)


def test_click_metrics_are_those_of_scikit_learn(tmp_path):
    clicks(1).write(tmp_path / "clicks.npz")
    found = Clicks.read(tmp_path / "clicks.npz")
    probabilities = 1 / (1 + np.exp(-found.logits))
    assert found.metrics()["auc"] == pytest.approx(roc_auc_score(found.labels, found.logits))
    assert found.metrics()["log_loss"] == pytest.approx(sklearn_log_loss(found.labels, probabilities))
    np.testing.assert_allclose(logits_of(probabilities), found.logits, atol=1e-6)
    assert np.isfinite(logits_of(np.array([0.0, 1.0]))).all()


def test_predictions_are_paired_by_user_and_item_whatever_their_order():
    rng = np.random.default_rng(2)
    users, items = rng.integers(0, 5, 50), np.arange(50)
    labels, logits = rng.integers(0, 2, 50), rng.normal(size=50)
    order = rng.permutation(50)
    one, other = Clicks.of(users, items, labels, logits), Clicks.of(*(v[order] for v in (users, items, labels, logits)))
    np.testing.assert_array_equal(one.logits, other.logits)
    np.testing.assert_array_equal(one.labels, other.labels)


def test_resamples_draw_the_same_users_for_every_model():
    run = clicks(3)
    worse = Clicks(run.users, run.labels, run.logits / 2)  # the same order, so the same AUC in every resample
    one, other = resampled([run], 50), resampled([worse], 50)
    np.testing.assert_allclose(one["auc"], other["auc"])
    assert np.std(one["auc"]) > 0.005
    assert (one["log_loss"] != other["log_loss"]).all()


@pytest.mark.parametrize("at_once", [1, 130, 10_000])
def test_a_resample_counts_users_with_all_their_events(monkeypatch, at_once):
    monkeypatch.setattr("benchmarks.quality.clicks.MOST_WEIGHTS", at_once)
    run = clicks(5, events=60, users=6)
    runs = [run, Clicks(run.users, run.labels, np.round(run.logits[::-1], 0))]
    drawn = np.random.default_rng(0).poisson(1.0, (5, 6))  # the first draws of the seed
    found = resampled(runs, 5)
    for row, counts in enumerate(drawn):
        repeats = counts[np.unique(run.users, return_inverse=True)[1]]
        labels = np.repeat(run.labels, repeats)
        logits = [np.repeat(one.logits, repeats) for one in runs]
        assert found["auc"][row] == pytest.approx(np.mean([roc_auc_score(labels, z) for z in logits]))
        losses = [sklearn_log_loss(labels, 1 / (1 + np.exp(-z))) for z in logits]
        assert found["log_loss"][row] == pytest.approx(np.mean(losses))


def test_every_model_of_the_registry_competes():
    assert [one.name for one in our_models()] == model_names()
    tasks = {one.name: one.task for one in our_models()}
    assert (tasks["popularity"], tasks["two_tower"], tasks["deepfm"]) == ("retrieval", "retrieval", "ranking")


@pytest.mark.parametrize("entrant", [*our_models(), *peers()], ids=lambda one: one.name)
def test_trials_begin_with_the_defaults_and_are_the_same_every_time(entrant):
    trials = entrant.trials(6)
    assert trials[0] == entrant.defaults
    assert trials == entrant.trials(6)
    assert len(trials) == len({str(one) for one in trials}) <= 6
    assert len(trials) == 1 if not entrant.space else len(trials) > 3
    assert all(set(one) <= {*entrant.space, *entrant.defaults} for one in trials)


def test_every_peer_has_a_module_and_a_list_of_pinned_packages():
    for peer in peers():
        assert (HERE / "peers" / f"{peer.module}.py").exists()
        lists = [folder / f"{peer.environment}.txt" for folder in (HERE / "peers", PINNED)]
        pinned = next(path for path in lists if path.exists()).read_text().splitlines()
        packages = [line for line in pinned if line and not line.startswith("#")]
        assert packages
        assert not [line for line in packages if not re.fullmatch(r"[A-Za-z0-9_.\-]+==[A-Za-z0-9_.+!\-]+", line)]


def test_the_logs_of_the_table_are_there():
    folders = {data.folder for data in DATASETS.values() if data.folder}
    assert folders == {"ml-100k", "ml-1m", "ml-1m-sequences", "movietweetings-100k", "census-income"}
