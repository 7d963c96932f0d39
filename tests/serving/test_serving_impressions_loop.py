"""The loop closes: a trained job is served with a store of users, and what it showed is judged and learnt from."""

import json

import numpy as np
import pytest

from serving import load_users
from serving.client import Client
from serving.impressions import Exploration, ImpressionLog
from serving.impressions import __main__ as join
from serving.users import Event, UserLookup, open_store
from tests.trainer.planted_world import TWO_TOWER_WITH_FEATURES, World, quiet_console, shared_root
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import read_part
from trainer import off_policy
from trainer.config import resolve_config
from trainer.job import JobDirectory
from trainer.run import run_job
from transforms.dataset import write_dataset
from transforms.dataset_config import load_dataset_config

TEMPERATURE = 2.0
REQUESTS = 400
MINUTE = 60_000
START_MS = 1_750_000_000_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return World(shared_root(tmp_path_factory))


@pytest.fixture(scope="module")
def job(world):
    """Two towers of country, ages and history, without ids of users: what is not given it cannot know."""
    return world.job("two_tower", *TWO_TOWER_WITH_FEATURES)


@pytest.fixture
def target(job, serve, model):
    return serve(model("two_tower", job.path / "export" / "two_tower")).target


@pytest.fixture
def store(world, tmp_path, capsys):
    address = f"sqlite:{tmp_path}/users.db"
    load_users.main(["--dataset", str(world.dataset()), "--store", address])
    assert "301 users of" in capsys.readouterr().err
    opened = open_store(address)
    yield opened
    opened.close()


def test_what_a_store_says_of_a_user_is_what_the_models_own_tables_say(store, target):
    known = [f"u{i:05d}" for i in range(0, 300, 7)]
    store.update([f"copy of {user}" for user in known], lambda _: store.get(known))
    lookup = UserLookup(store, timeout_seconds=60)
    with Client(target, 120) as alone, Client(target, 120, users=lookup) as with_store:
        wanted = alone.recommend_batch("two_tower", known, k=20, exclude_seen=False)
        copies = [f"copy of {user}" for user in known]
        found = with_store.recommend_batch("two_tower", copies, k=20, exclude_seen=False)
        strangers = alone.recommend_batch("two_tower", copies, k=20, exclude_seen=False)
    np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-4, atol=1e-5)
    assert np.mean(found.ids == wanted.ids) > 0.95  # equal scores may stand in either order
    assert np.mean(strangers.ids == wanted.ids) < 0.5
    assert lookup.counts.found == len(known)


def test_an_event_changes_the_next_recommendations(store, target):
    lookup = UserLookup(store, timeout_seconds=60)
    with Client(target, 120, users=lookup) as client:
        before = client.recommend("two_tower", "u00003", k=5)
        for item in before.ids[:3]:
            lookup.append("u00003", Event(item, label=5))
        after = client.recommend("two_tower", "u00003", k=5)
    assert not set(before.ids[:3]) & set(after.ids)
    assert store.get(["u00003"])[0].sequences["history"][-3:] == list(before.ids[:3])


@pytest.fixture
def joined(target, tmp_path):
    """One item a request, drawn from the whole catalogue; every fifth item of the catalogue is liked."""
    generator, users = np.random.default_rng(7), [f"u{i:05d}" for i in range(300)]
    exploration = Exploration(kind="softmax", temperature=TEMPERATURE)
    log = ImpressionLog(tmp_path / "log")
    with Client(target, 120) as client, log:
        for i in range(REQUESTS):
            user = users[generator.integers(len(users))]
            items = client.recommend("two_tower", user, k=1000, exclude_seen=False)
            shown = exploration.draw(items, 1, generator)
            request = log.shown(shown, time_ms=START_MS + i * MINUTE)
            (item,) = shown.items.ids
            if generator.random() < (0.8 if item.endswith(("0", "5")) else 0.1):
                log.outcome(request, item, time_ms=START_MS + i * MINUTE + 1000)
    directory = tmp_path / "joined"
    directory.mkdir()
    join.main(["--log", str(tmp_path / "log"), "--output", str(directory / "impressions-1.parquet")])
    return directory


def test_the_served_job_is_worth_on_its_own_log_what_it_earned_and_the_log_trains_the_next(
    world, job, joined, tmp_path, capsys
):
    capsys.readouterr()
    log = str(joined / "impressions-1.parquet")
    flags = ["--log", log, "--job-dir", str(job.path), "--user", "user_id", "--item", "item_id", "--json"]
    off_policy.main([*flags, "--temperature", str(TEMPERATURE)])
    found = json.loads(capsys.readouterr().out)
    # The target policy is the one that logged: each weight is 1, so what was served is what was trained.
    assert found["weights"]["actions"]["mean"] == pytest.approx(1, abs=1e-3)
    assert found["weights"]["actions"]["effective_rows"] == pytest.approx(REQUESTS, rel=1e-4)
    assert found["estimates"]["ips"]["value"] == pytest.approx(found["logged_value"]["value"], rel=1e-3)

    dataset = tmp_path / "dataset"
    write_dataset(load_dataset_config("impressions"), str(joined), str(dataset))
    directory = DatasetDirectory(dataset)
    records = read_part(directory, "train")
    assert sum(directory.rows(split) for split in ("train", "validation", "test")) == REQUESTS
    assert ((records["propensity"] > 0) & (records["propensity"] <= 1)).all()
    assert set(records["label"].tolist()) == {0.0, 1.0}

    config = resolve_config(
        "deepfm",
        None,
        ("train.epochs=1", "evaluation.baselines=[]"),
        dataset=str(dataset),
        dataset_fingerprint=directory.fingerprint,
        seed=1,
    )
    next_job = JobDirectory(tmp_path / "next")
    run_job(config, next_job, quiet_console(), must_evaluate=False)
    off_policy.main(["--job-dir", str(next_job.path), "--candidates", "catalogue", "--json"])
    judged = json.loads(capsys.readouterr().out)
    assert judged["estimates"]["self_normalised_ips"]["value"] >= 0
    assert np.isfinite(judged["weights"]["actions"]["effective_rows"])
