"""Evaluation against plain loops: full ranking with exclusions, ties and cold targets; queries from the records."""

import math

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf

from tests.trainer.planted_world import built_once, read_csv, write_csv
from tfrec.dataset.interactions import Interactions
from tfrec.metrics import ranking_metric_names, ranking_metrics
from tfrec.models.base import RankingModel, RetrievalModel
from trainer.data import JobData
from trainer.evaluation import scores as evaluation
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.events import event_metrics, item_mean
from trainer.evaluation.queries import RetrievalQueries, retrieval_queries
from trainer.evaluation.scores import KS, evaluate_ranking, evaluate_retrieval, means


class Matrix(RetrievalModel):
    """Scores that are given."""

    def __init__(self, scores):
        self.matrix = tf.Variable(scores, dtype=tf.float32)

    def scores(self, features):
        return tf.gather(self.matrix, features["row"])

    @property
    def state(self):
        return [self.matrix]

    @property
    def required_features(self):
        return frozenset({"row"})


def plain_ranking(scores, seen, relevant):
    """Each user's items, best first, the lower index first among equals, without those that were seen."""
    result = []
    for row, items in enumerate(seen):
        order = sorted(range(scores.shape[1]), key=lambda item, row=row: (-scores[row, item], item))
        listed = [item for item in order if item not in items]
        result.append([item in relevant[row] for item in listed])
    return result


def random_case(seed, users=23, items=40, ties=True):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, (users, items)) if ties else rng.normal(size=(users, items))
    history = [rng.choice(items, rng.integers(0, items - 5), replace=True).tolist() for _ in range(users + 4)]
    asked = np.sort(rng.choice(users + 4, users, replace=False))
    relevant = []
    for user in asked:
        left = sorted(set(range(items)) - set(history[user]))
        relevant.append(rng.choice(left, rng.integers(1, min(4, len(left)) + 1), replace=False).tolist())
    events = [(u, i, p) for u, row in enumerate(history) for p, i in enumerate(row)]
    table = np.array(events, np.int64).reshape(-1, 3)
    seen = Interactions.from_records(
        dict(zip(("user_index", "item_index", "event_position"), table.T, strict=True)), users + 4, items
    )
    pairs = [(row, item) for row, wanted in enumerate(relevant) for item in wanted]
    rng.shuffle(pairs)
    rows, targets = (np.array(column) for column in zip(*pairs, strict=True))
    queries = RetrievalQueries({"row": np.arange(users)}, asked, seen, rows, targets)
    return scores.astype(np.float32), queries, [set(history[u]) for u in asked], relevant


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ties", [False, True])
def test_metrics_are_those_of_a_plain_ranking_of_the_whole_catalogue(seed, ties):
    scores, queries, seen, relevant = random_case(seed, ties=ties)
    found = evaluate_retrieval(Matrix(scores), queries)
    for row, hits in enumerate(plain_ranking(scores, seen, relevant)):
        expected = ranking_metrics(np.array([hits]), np.array([len(relevant[row])]), KS)
        assert {name: values[row] for name, values in found.items()} == pytest.approx(
            {name: values[0] for name, values in expected.items()}
        )


@pytest.mark.parametrize("batch", [1, 2, 7, 22, 23, 24])
def test_metrics_do_not_depend_on_the_size_of_evaluation_batches(monkeypatch, batch):
    scores, queries, _, _ = random_case(3)
    whole = evaluate_retrieval(Matrix(scores), queries)
    monkeypatch.setattr(evaluation, "BATCH", batch)
    parts = evaluate_retrieval(Matrix(scores), queries)
    for name, values in whole.items():
        assert np.array_equal(values, parts[name]), name


def test_an_item_without_training_events_can_be_found():
    queries = RetrievalQueries(
        {"row": np.array([0])},
        np.array([0]),
        Interactions(np.array([0, 1]), np.array([0]), 4),
        np.array([0]),
        np.array([3]),
    )
    found = evaluate_retrieval(Matrix([[9.0, 1.0, 2.0, 3.0]]), queries)
    assert found["mrr_at_5"].tolist() == [1.0]
    assert found["recall_at_100"].tolist() == [1.0]


def test_no_users_give_nan_means_not_zero():
    queries = RetrievalQueries(
        {"row": np.zeros(0, int)},
        np.zeros(0, int),
        Interactions(np.array([0]), np.zeros(0, int), 4),
        np.zeros(0, int),
        np.zeros(0, int),
    )
    found = means(evaluate_retrieval(Matrix(np.zeros((1, 4))), queries))
    assert set(found) == set(ranking_metric_names(KS))
    assert all(math.isnan(value) for value in found.values())


# --- Queries --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def repeating(world):
    """A log in which users take items again, divided at two times."""
    logs = world.root / "logs_with_repeats"
    source = world.logs
    with built_once(logs) as must_build:
        if must_build:
            scratch = world.root / "logs_with_repeats.tmp"
            scratch.mkdir()
            events = read_csv(source / "events.csv")
            again = [{**row, "timestamp": str(int(row["timestamp"]) + 40 * 86_400)} for row in events[::3]]
            late = [{**row, "item_id": f"late{n % 4}"} for n, row in enumerate(again[-60:])]
            write_csv(scratch / "events.csv", events + again[:-60] + late)
            write_csv(scratch / "users.csv", read_csv(source / "users.csv"))
            write_csv(scratch / "items.csv", read_csv(source / "items.csv"))
            scratch.rename(logs)
    world.dataset("repeating", "split={strategy: temporal, validation: 0.15, test: 0.15}", logs=logs)
    return world.data("repeating")


def plain_queries(data, split):
    """User → (items to find, record of the first event of the split), by loops over the records."""
    earlier = ("train",) if split == "validation" else ("train", "validation")
    seen = {}
    for name in earlier:
        records = data.split(name)
        for user, item in zip(records["user_index"].tolist(), records["item_index"].tolist(), strict=True):
            seen.setdefault(user, set()).add(item)
    records, wanted, first = data.split(split), {}, {}
    for row in range(len(records["label"])):
        user, item = int(records["user_index"][row]), int(records["item_index"][row])
        if user not in first or records["event_position"][row] < records["event_position"][first[user]]:
            first[user] = row
        if item not in seen.get(user, set()):
            wanted.setdefault(user, set()).add(item)
    return seen, wanted, {user: first[user] for user in wanted}


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("name", ["planted", "repeating"])
def test_queries_are_those_of_loops_over_the_records(world, repeating, name, split):
    data = repeating if name == "repeating" else world.data()
    seen, wanted, first = plain_queries(data, split)
    found = retrieval_queries(data, split, "at_event")
    assert found.users.tolist() == sorted(wanted)
    pairs = list(zip(found.users[found.relevant_rows].tolist(), found.relevant_items.tolist(), strict=True))
    assert sorted(pairs) == sorted((user, item) for user, items in wanted.items() for item in items)
    assert found.relevant_counts.tolist() == [len(wanted[user]) for user in sorted(wanted)]
    for row, user in enumerate(found.users.tolist()):
        assert set(found.seen.of_user(user).tolist()) == seen.get(user, set())
        for feature, values in data.split(split).items():
            assert np.array_equal(found.features[feature][row], values[first[user]], equal_nan=True)


def test_the_repeating_log_has_what_the_queries_must_handle(repeating):
    _seen, wanted, _ = plain_queries(repeating, "test")
    records = repeating.test
    repeated = [u for u in set(records["user_index"].tolist()) if u not in wanted]
    assert repeated, "users who took nothing new"
    assert len([items for items in wanted.values() if len(items) > 1]) > 10
    trained = set(repeating.train["item_index"].tolist())
    assert any(item not in trained for items in wanted.values() for item in items), "cold items"


def test_the_training_history_holds_the_last_training_items_alone(repeating):
    at_event = retrieval_queries(repeating, "test", "at_event")
    found = retrieval_queries(repeating, "test", "training")
    train, ids = repeating.train, repeating.catalogue.features["item_id"]
    for row, user in enumerate(found.users.tolist()):
        rows = list(np.flatnonzero(train["user_index"] == user))
        rows.sort(key=lambda n: train["event_position"][n])
        expected = [int(ids[train["item_index"][n]]) for n in rows][-20:]
        assert found.features["history"][row].tolist() == expected + [0] * (20 - len(expected))
    assert np.array_equal(found.users, at_event.users)
    assert not np.array_equal(found.features["history"], at_event.features["history"])
    assert np.array_equal(found.features["age"], at_event.features["age"])


# --- Ranking --------------------------------------------------------------------------------------------------------


class GivenLogits(RankingModel):
    def __init__(self, data):
        self.inputs = data.model_inputs

    def logits(self, features, *, training=False):
        return tf.cast(features["item_index"] % 7, tf.float32) - 3.0

    @property
    def state(self):
        return []

    @property
    def required_features(self):
        return frozenset({"item_index"})


@pytest.mark.parametrize("rows", [1, 7, 65_536])
def test_ranking_metrics_are_those_of_scikit_learn_whatever_the_batch(world, monkeypatch, rows):
    data = world.data()
    monkeypatch.setattr(evaluation, "ROWS", rows)
    logits = data.test["item_index"] % 7 - 3.0
    found = evaluate_ranking(GivenLogits(data), data.test)
    assert found == pytest.approx(
        {
            "auc": sklearn.metrics.roc_auc_score(data.test["label"], logits),
            "log_loss": sklearn.metrics.log_loss(data.test["label"], 1 / (1 + np.exp(-logits))),
        }
    )


def test_a_label_that_is_a_value_is_judged_by_its_error(world):
    world.dataset("ratings", "label={column: rating}")
    data = world.data("ratings")
    assert set(np.unique(data.test["label"])) <= {1, 2, 3, 4, 5}
    predicted = data.test["item_index"] % 7 - 3.0
    assert evaluate_ranking(GivenLogits(data), data.test) == pytest.approx(
        {
            "rmse": sklearn.metrics.root_mean_squared_error(data.test["label"], predicted),
            "mae": sklearn.metrics.mean_absolute_error(data.test["label"], predicted),
        }
    )


def test_the_item_mean_baseline_is_the_loop_over_training_labels(world):
    data: JobData = world.data()
    labels = data.train["label"].astype(np.float64)
    overall = labels.mean()
    predicted = []
    for item in data.test["item_index"]:
        of_item = labels[data.train["item_index"] == item]
        predicted.append((of_item.sum() + 10 * overall) / (len(of_item) + 10))
    logits = item_mean(data, "test")
    assert 1 / (1 + np.exp(-logits)) == pytest.approx(predicted, rel=1e-6)
    found = event_metrics(data, EvaluationConfig(), data.test, logits)
    assert found["auc"] == pytest.approx(sklearn.metrics.roc_auc_score(data.test["label"], predicted))
    assert found["log_loss"] == pytest.approx(sklearn.metrics.log_loss(data.test["label"], predicted), rel=1e-6)
