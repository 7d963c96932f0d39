"""The preset for LibimSeTi's dating ratings, on a generated log of that form: from the files to recommended matches."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from tests.transforms.dating_log import write_dating_log
from tfrec.dataset.directory import RAW_PREFIX, DatasetDirectory
from tfrec.dataset.records import read_part
from trainer import task
from trainer.job import JobDirectory
from trainer.model import load_model
from transforms import run

LENGTH = 5


@pytest.fixture(scope="module")
def dating(tmp_path_factory):
    """(planted world, directory of the log, directory of the dataset)."""
    root = tmp_path_factory.mktemp("dating")
    world = write_dating_log(root / "logs")
    run.main(["--config", "libimseti", "--input-dir", str(root / "logs"), "--output", str(root / "dataset")])
    return world, root / "logs", root / "dataset"


def test_every_rating_gets_into_the_dataset_with_its_value(dating):
    _, logs, path = dating
    with open(logs / "ratings.dat", encoding="utf-8") as file:
        written = sorted((user, profile, float(rating)) for user, profile, rating in csv.reader(file))
    dataset = DatasetDirectory(path)
    users = read_part(dataset, "users")[RAW_PREFIX + "user_id"]
    items = read_part(dataset, "items")[RAW_PREFIX + "item_id"]
    found, rows = [], {}
    for split in ("train", "validation", "test"):
        records = read_part(dataset, split)
        rows[split] = len(records["label"])
        triples = zip(users[records["user_index"]], items[records["item_index"]], records["label"], strict=True)
        found += [(user.decode(), item.decode(), float(label)) for user, item, label in triples]
    assert sorted(found) == written
    assert rows == {"train": 240 * 30, "validation": 240 * 3, "test": 240 * 3}  # of the 36 ratings of each


def test_users_are_items_too_and_have_their_gender_on_both_sides(dating):
    world, _, path = dating
    dataset = DatasetDirectory(path)
    sides = {"users": ("user_id", "gender"), "items": ("item_id", "profile_gender")}
    for part, (id_name, gender) in sides.items():
        records = read_part(dataset, part)
        people = [int(raw) - 1 for raw in records[RAW_PREFIX + id_name]]
        assert sorted(people) == list(range(world.people))
        women = {int(encoded) for person, encoded in zip(people, records[gender]) if world.is_woman(person)}
        men = {int(encoded) for person, encoded in zip(people, records[gender]) if not world.is_woman(person)}
        assert len(women) == len(men) == 1
        assert women != men


def test_ranking_by_both_directions_finds_more_matches_than_by_one(dating, tmp_path):
    world, _, path = dating

    def shares(name, *more):
        """(share of the recommended whom the user likes, of those who like back too), and the metrics."""
        settings = (
            "model.embedding_dim=8",
            "train.epochs=16",
            "train.batch_size=512",
            "evaluation.baselines=[]",
            *more,
        )
        flags = [flag for setting in settings for flag in ("--set", setting)]
        job = JobDirectory(tmp_path / name)
        command = ["--dataset", str(path), "--model", "matrix_factorization", "--job-dir", str(job.path)]
        task.main([*command, "--no-export", *flags])
        model, data, _ = load_model(job)
        users = read_part(data.dataset, "users")
        scores = model.scores({name: tf.constant(users[name]) for name in model.required_features}).numpy()
        rows, seen = data.model_inputs.train.pairs_of(users["user_index"])
        scores[rows, seen] = -np.inf
        lists = np.argsort(-scores, axis=1, kind="stable")[:, :LENGTH]
        pairs = [
            (int(user) - 1, int(item) - 1)
            for user, row in zip(users[RAW_PREFIX + "user_id"], data.catalogue.ids[lists], strict=True)
            for item in row
        ]
        liked = np.mean([world.likes(*pair) for pair in pairs])
        matched = np.mean([world.is_match(*pair) for pair in pairs])
        return liked, matched, job.read_metrics()

    liked, matched, metrics = shares("one_sided", "model.reciprocal=false")
    liked_by_both, matched_by_both, _ = shares("reciprocal", "model.reciprocal=true")
    print(f"one direction: {liked:.3f} liked, {matched:.3f} matches; both: {liked_by_both:.3f}, {matched_by_both:.3f}")
    print(f"RMSE {metrics['test/rmse']:.3f}, of item means {metrics['test/item_mean/rmse']:.3f}")
    assert metrics["test/rmse"] < 0.75 * metrics["test/item_mean/rmse"]
    assert liked > 0.9
    assert matched < 0.6  # a third likes back
    assert matched_by_both > 1.5 * matched
    assert matched_by_both > 0.9
