"""Ablations: what they change and what they leave, and a world of known answer: what is wanted follows the hour."""

import contextlib
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.planted_world import quiet_console, read_csv
from tfrec.config_file import parse_config
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import read_part
from tfrec.errors import ConfigError
from tfrec.schema import EVENT_POSITION, EVENT_TIME_MS, ITEM_INDEX, SPLITS, USER_INDEX, Schema
from trainer.ablate import main
from trainer.ablation.changes import Ablation, ablations, in_drawn_order, without
from trainer.ablation.dataset import changed_dataset
from trainer.ablation.retrain import retrained
from trainer.config import resolve_config
from trainer.job import JobDirectory
from trainer.report.results import JobResults
from trainer.run import run_job

RHYTHM_YAML = """
name: rhythm
events: {files: events.csv}
items: {files: items.csv}
features:
  user_id: {role: user, kind: categorical, id: true}
  item_id: {role: item, kind: categorical, id: true}
  hour: {role: context, kind: categorical}
  history: {role: user, kind: sequence, length: 10}
  genres: {role: item, kind: categorical, separator: "|", max_values: 4}
timestamp: {column: timestamp, unit: s}
split: {strategy: leave_one_out}
"""
SCHEMA = Schema.model_validate(
    {
        "name": "many",
        "features": {
            "user": {"role": "user", "kind": "categorical", "id": True},
            "item": {"role": "item", "kind": "categorical", "id": True},
            "device": {"role": "context", "kind": "categorical"},
            "hour": {"role": "context", "kind": "categorical"},
            "items": {"role": "user", "kind": "sequence", "length": 6},
            "devices": {"role": "user", "kind": "sequence", "length": 6, "of": "device"},
            "hours": {"role": "user", "kind": "sequence", "length": 6, "of": "hour"},
            "times": {"role": "user", "kind": "sequence", "length": 6, "of": "event_time_ms"},
            "gaps": {"role": "user", "kind": "sequence", "length": 6, "of": "gap_seconds"},
        },
        "timestamp": {"column": "time"},
        "split": {"strategy": "leave_one_out"},
    }
)
ALL = (*SCHEMA.features, EVENT_TIME_MS)


def columns_by_what(reads, tells_time):
    return {what: set(found.columns) for what, found in ablations(SCHEMA, reads, tells_time).items()}


def test_every_column_that_is_read_belongs_to_what_it_tells():
    sequences = {"items", "devices", "hours"}
    times = {EVENT_TIME_MS, "times", "gaps"}
    assert columns_by_what(ALL, ("hour",)) == {
        "context": {"device", "devices"},
        "time": times | {"hour", "hours"},
        "order": sequences,
    }
    assert columns_by_what(ALL, ())["context"] == {"device", "devices", "hour", "hours"}
    assert columns_by_what(ALL, ())["time"] == times
    assert columns_by_what(("user", "item", "items"), ()) == {"order": {"items"}}
    assert columns_by_what(("user", "item"), ()) == {}


def test_a_feature_that_is_not_there_tells_no_time():
    with pytest.raises(ConfigError, match="--time huor: the dataset has no such feature; did you mean 'hour'"):
        ablations(SCHEMA, ALL, ("huor",))


@pytest.fixture
def records():
    """Histories of 0 to 6 steps, whose columns say of each step which one it is."""
    random = np.random.default_rng(2)
    steps = np.array([0, 1, 2, 3, 4, 5, 6, 6, 6])
    is_there = np.arange(6) < steps[:, None]
    items = np.where(is_there, random.integers(1, 99, is_there.shape), 0)
    times = np.where(is_there, np.arange(6) + 1000, 0)
    return {
        "user": random.integers(1, 9, 9),
        "device": random.integers(1, 9, 9),
        "items": items,
        "devices": np.where(is_there, items * 7 % 5, 0),  # with true zeros among them
        "times": times,
        "gaps": times.astype(np.float32),
    }


def test_what_is_taken_away_becomes_constant_and_the_rest_stays(records):
    found = without(records, Ablation("context", ("device", "devices")), SCHEMA, 1)
    for name, values in records.items():
        expected = np.zeros_like(values) if name in ("device", "devices") else values
        np.testing.assert_array_equal(found[name], expected)
        assert found[name].dtype == values.dtype


@given(seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_drawn_order_keeps_the_steps_and_what_belongs_to_each_but_not_their_times(seed):
    random = np.random.default_rng(seed)
    steps = random.integers(0, 7, 8)
    is_there = np.arange(6) < steps[:, None]
    items = np.where(is_there, random.integers(1, 9, is_there.shape), 0)
    given_ = {"items": items, "devices": np.where(is_there, items % 3, 0), "times": np.where(is_there, np.arange(6), 0)}
    found = without(given_, Ablation("order", ("devices", "items")), SCHEMA, seed)
    np.testing.assert_array_equal(found["times"], given_["times"])
    np.testing.assert_array_equal(found["devices"], np.where(found["items"] > 0, found["items"] % 3, 0))
    for row, count in enumerate(steps):
        assert sorted(found["items"][row, :count]) == sorted(items[row, :count])
        assert not found["items"][row, count:].any()


def test_histories_are_really_shuffled(records):
    found = without(records, Ablation("order", ("items",)), SCHEMA, 1)
    assert (found["items"][-3:] != records["items"][-3:]).any()


def test_training_events_change_places_within_their_user_and_the_times_stay():
    random = np.random.default_rng(4)
    users = random.integers(0, 5, 60)
    positions = np.array([np.sum(users[:row] == user) for row, user in enumerate(users)])
    rows = {USER_INDEX: users, EVENT_POSITION: positions, EVENT_TIME_MS: 10 * positions, ITEM_INDEX: np.arange(60)}
    shuffle = random.permutation(60)
    rows = {name: values[shuffle] for name, values in rows.items()}
    found = in_drawn_order(rows, SCHEMA, 1)
    np.testing.assert_array_equal(found[ITEM_INDEX], rows[ITEM_INDEX])
    np.testing.assert_array_equal(found[EVENT_TIME_MS], 10 * found[EVENT_POSITION])
    assert (found[EVENT_POSITION] != rows[EVENT_POSITION]).any()
    for user in range(5):
        own = rows[USER_INDEX] == user
        assert sorted(found[EVENT_POSITION][own]) == list(range(own.sum()))


# --- A world whose genre of the hour is known ---


@pytest.fixture(scope="module")
def rhythm(tmp_path_factory):
    """Logs, dataset and a trained job of a model that reads the hour."""
    from transforms.dataset import write_dataset
    from transforms.dataset_config import DatasetConfig
    from transforms.generate import World, generate_log

    root = tmp_path_factory.mktemp("rhythm")
    generate_log(root / "logs", 3, World(users=250, items=120, mean_events=24, rhythm=0.9))
    write_dataset(parse_config(RHYTHM_YAML, DatasetConfig, ()), str(root / "logs"), str(root / "dataset"))
    dataset = DatasetDirectory(root / "dataset")
    overrides = ("model.user_features=[hour]", "model.embedding_dim=16", "train.epochs=12", "train.batch_size=256",
                 "model.use_user_id=false", "model.item_features=[genres]",
                 "evaluation.baselines=[]", "train.learning_rate=0.01")  # fmt: skip
    identity = {"dataset": str(dataset.path), "dataset_fingerprint": dataset.fingerprint, "seed": 1}
    job = JobDirectory(root / "job")
    run_job(resolve_config("two_tower", None, overrides, **identity), job, quiet_console())
    popularity = JobDirectory(root / "popularity")
    settings_ = ("evaluation.baselines=[]",)
    run_job(resolve_config("popularity", None, settings_, **identity), popularity, quiet_console())
    return SimpleNamespace(root=root, logs=root / "logs", dataset=dataset, job=job, popularity=popularity)


@pytest.fixture(scope="module")
def ablated(rhythm):
    """What the command says, and what people see."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        main(["--job-dir", str(rhythm.job.path), "--what", "time,order", "--time", "hour", "--json"])
    return json.loads(out.getvalue()), err.getvalue()


def share_of_the_hours_genre(rhythm, results):
    """Of the ten first items of every test list those of the genre of the hour at which the user came."""
    from transforms.generate import genre_of_hour

    genres = {row["item_id"]: row["genres"].split("|") for row in read_csv(rhythm.logs / "items.csv")}
    last = {row["user_id"]: int(row["hour"]) for row in read_csv(rhythm.logs / "events.csv")}
    ids, users = results.data.catalogue.ids, results.data.user_ids
    lists = results.outcome("test").lists
    hits = [
        genre_of_hour(last[users[user].decode()]) in genres[ids[item].decode()]
        for user, items in zip(lists.users, lists.items, strict=True)
        for item in items[:10]
    ]
    return np.mean(hits)


def test_a_model_that_reads_the_hour_finds_the_rhythm_and_one_that_does_not_cannot(rhythm, ablated):
    reads = share_of_the_hours_genre(rhythm, JobResults(rhythm.job))
    blind = JobResults(JobDirectory(rhythm.job.path / "ablation" / "without_time" / "seed_1"))
    cannot = share_of_the_hours_genre(rhythm, blind)
    print(f"{reads:.3f} with the hour, {cannot:.3f} without")
    assert reads > 0.8
    assert cannot < 0.3  # an item has 1.3 genres of eight


def test_the_table_says_that_time_is_worth_much(rhythm, ablated):
    said, shown = ablated
    whole, without_time, without_order = said["rows"]
    metrics = rhythm.job.read_metrics()
    assert said["metric"] == "test/ndcg_at_10"
    assert whole["mean"] == pytest.approx(metrics["test/ndcg_at_10"], abs=1e-6)
    assert [row["taken_away"] for row in said["rows"]] == [[], ["hour"], ["history"]]
    assert without_time["worth"]["mean"] == pytest.approx(whole["mean"] - without_time["mean"], abs=1e-6)
    assert without_time["worth"]["low"] > 0
    assert without_time["worth"]["p_holm"] < 0.01
    assert without_order["worth"]["mean"] < without_time["worth"]["mean"] / 2
    assert "without time" in shown


def test_what_was_trained_is_not_trained_again(rhythm, ablated):
    finished = rhythm.job.path / "ablation" / "without_time" / "seed_1" / "metrics.json"
    before = finished.stat().st_mtime_ns
    with contextlib.redirect_stderr(io.StringIO()) as err:
        main(["--job-dir", str(rhythm.job.path), "--what", "time", "--time", "hour"])
    assert finished.stat().st_mtime_ns == before
    assert "training without" not in err.getvalue()


def test_a_changed_dataset_has_the_same_rows_but_for_the_change(rhythm, tmp_path):
    found = changed_dataset(rhythm.dataset, tmp_path / "same", lambda split, records: records, "nothing")
    assert found.fingerprint != rhythm.dataset.fingerprint
    for part in (*SPLITS, "users", "items"):
        expected = read_part(rhythm.dataset, part)
        for name, values in read_part(found, part).items():
            np.testing.assert_array_equal(values, expected[name])


def test_a_model_that_reads_nothing_of_it_is_refused(rhythm):
    with pytest.raises(ConfigError, match="popularity reads no context and no time and no order"):
        main(["--job-dir", str(rhythm.popularity.path)])
    with pytest.raises(ConfigError, match="two_tower reads no time, so nothing"):
        main(["--job-dir", str(rhythm.job.path), "--what", "time"])


def test_jobs_of_different_configs_are_refused(rhythm):
    with pytest.raises(ConfigError, match="has another config than"):
        main(["--job-dir", str(rhythm.job.path), str(rhythm.popularity.path)])
    with pytest.raises(ConfigError, match="--what: tiem; allowed: context, time, order"):
        main(["--job-dir", str(rhythm.job.path), "--what", "tiem"])


def test_what_other_features_were_taken_away_from_is_not_taken_for_it(rhythm, ablated):
    with pytest.raises(ConfigError, match=r"without_time: .* has other features taken away; name another --output"):
        changed_dataset(rhythm.dataset, rhythm.job.path / "ablation" / "datasets" / "without_time", dict, "more")
    config, time = JobResults(rhythm.job).config, Ablation("time", ("hour",))
    shorter = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 3})})
    with pytest.raises(ConfigError, match="holds another job"):
        retrained(SimpleNamespace(config=shorter), time, rhythm.job.path / "ablation", quiet_console(), print)


def test_a_metric_that_no_user_has_alone_is_refused(rhythm, ablated):
    with pytest.raises(ConfigError, match="have no 'coverage_at_10'"):
        main(["--job-dir", str(rhythm.job.path), "--what", "time", "--time", "hour", "--metric", "coverage_at_10"])
