"""Published splits: what a cut leaves alone, the catalogue, and the command on tiny files of their form."""

import json
import subprocess
import sys
from collections import Counter
from math import log2

import numpy as np
import pytest
import yaml

from benchmarks.published.cells import EPOCHS, MODEL, STARTS_FROM, Place, finished, model_of, searched
from benchmarks.published.splits import SPLITS, cut_rows
from benchmarks.published_splits import CHOSEN
from tfrec.config_file import parse_config
from tfrec.dataset.directory import DatasetDirectory
from trainer.config import TrainConfig
from trainer.data import JobData

TOPN = SPLITS["ml-1m-topn"]
USERS, ITEMS = 60, 40


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Files in the form of ml-1m-topn, whose users like the items of their own half."""
    root = tmp_path_factory.mktemp("published")
    rng = np.random.default_rng(5)
    train, test = [], []
    for user in range(1, USERS + 1):
        own = rng.permutation(np.arange(1, ITEMS + 1)[user % 2 :: 2])
        train += [f"{user}\t{item}\n" for item in own[:9]]
        test += [f"{user}\t{item}\t1\t978300760\n" for item in own[9:12]]
    for name in ("ml-1m-topn", "ml-1m"):
        (root / name).mkdir()
    (root / "ml-1m-topn" / "train.tsv").write_text("".join(train))
    (root / "ml-1m-topn" / "test.tsv").write_text("".join(test))
    users = [f"{user}::F::25::3::55455\n" for user in range(1, USERS + 1)]
    movies = [f"{item}::Movie {item} (1995)::Drama|Comedy\n" for item in range(1, ITEMS + 11)]
    (root / "ml-1m" / "users.dat").write_text("".join(users))
    (root / "ml-1m" / "movies.dat").write_text("".join(movies))
    return Place(root, root / "work")


def rows_of(path):
    return [tuple(line.split("\t")[:2]) for line in path.read_text().splitlines()]


def test_a_cut_divides_the_training_rows_and_leaves_the_test_file_alone(place):
    TOPN.dataset(place.data_dir, place.work, cut=True)
    log = place.work / "logs" / "ml-1m-topn-cut"
    train, validation = rows_of(log / "train.tsv"), rows_of(log / "validation.tsv")
    assert Counter(train + validation) == Counter(rows_of(place.data_dir / TOPN.name / "train.tsv"))
    assert not (log / "test.tsv").exists()
    assert 0.05 < len(validation) / len(train + validation) < 0.15
    assert cut_rows(1000).tolist() == cut_rows(1000).tolist()


def test_the_catalogue_are_the_items_of_the_training_file(place):
    data = JobData(DatasetDirectory(TOPN.dataset(place.data_dir, place.work, cut=False)))
    assert {item.decode() for item in data.catalogue.ids} == {
        item for _, item in rows_of(place.data_dir / TOPN.name / "train.tsv")
    }


def test_popularity_gets_what_plain_counting_gives(place):
    train, test = (rows_of(place.data_dir / TOPN.name / name) for name in ("train.tsv", "test.tsv"))
    (found,) = finished("popularity", {}, 1, TOPN, place)
    data = JobData(DatasetDirectory(TOPN.dataset(place.data_dir, place.work, cut=False)))
    order = {item.decode(): index for index, item in enumerate(data.catalogue.ids)}
    counts = Counter(item for _, item in train)
    ranked = sorted(counts, key=lambda item: (-counts[item], order[item]))
    expected = []
    for user in dict.fromkeys(user for user, _ in test):
        seen, wanted = ({item for name, item in rows if name == user} for rows in (train, test))
        top = [item for item in ranked if item not in seen][:10]
        gain = sum(1 / log2(place + 2) for place, item in enumerate(top) if item in wanted)
        expected.append(gain / sum(1 / log2(place + 2) for place in range(min(len(wanted), 10))))
    assert found.ndcg.mean() == pytest.approx(np.mean(expected), abs=1e-6)
    assert found.metrics["test/ndcg_at_10"] == pytest.approx(np.mean(expected), abs=1e-6)


@pytest.mark.slow
def test_a_search_gives_the_epochs_that_were_best_on_the_cut_beside_the_settings(place):
    settings = searched("item2vec", TOPN, 2, 5, place)
    assert settings[EPOCHS] >= 1
    assert {key.split(".")[0] for key in settings} <= {"model", "train"}
    assert settings["model.half_life"] is None  # the order of the rows says nothing
    assert (place.work / "studies" / TOPN.name / "item2vec" / "best.yaml").exists()


@pytest.mark.slow
def test_a_row_starts_from_the_finished_cells_of_others_and_all_rows_are_learnt_from(place):
    short = {EPOCHS: 2, "train.batch_size": 64, "model.embedding_dim": 4}
    settings = {"model": "neumf", "starts_from": {"gmf": short, "ncf_mlp": {**short, "model.layers": 1}}, EPOCHS: 1,
                "model.gmf_dim": 4, "model.mlp_dim": 4, "model.layers": 1}  # fmt: skip
    (found,) = finished("pretrained", settings, 3, TOPN, place)
    assert (found.metrics["train/epochs"], len(found.users)) == (1, USERS)
    jobs = sorted(path.name.split("-")[0] for path in (place.work / "jobs" / TOPN.name).iterdir())
    assert {"gmf", "ncf_mlp", "pretrained"} <= set(jobs)
    config = next((place.work / "jobs" / TOPN.name).glob("pretrained-3-*/config.yaml"))
    assert len(yaml.safe_load(config.read_text())["warm_start_from"]) == 2


@pytest.mark.slow
def test_the_table_has_a_row_for_each_model_with_its_difference_from_ease(place):
    command = [sys.executable, "-m", "benchmarks.published_splits", "--data-dir", place.data_dir, "--work-dir",
               place.work, "--splits", TOPN.name, "--models", "ease,popularity,als", "--seeds", "2"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {line.split(" | ")[0][2:]: line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")}
    assert rows["ease"][4] == ""
    assert rows["popularity"][4].startswith("-")
    assert len(rows["popularity"][5].split()) == 1  # another seed would not change it
    assert len(rows["als"][5].split()) == 2
    wrong = subprocess.run([*command[:7], "--models", "svd"], capture_output=True, text=True, check=False)
    assert "svd" in wrong.stderr.splitlines()[-1]


def test_chosen_settings_are_of_the_models_own_names():
    for models in yaml.safe_load(CHOSEN.read_text(encoding="utf-8")).values():
        for name, settings in models.items():
            config = model_of(name, settings).Config
            known = {f"model.{key}" for key in config.model_fields}
            known |= {f"train.{key}" for key in TrainConfig.model_fields} | {MODEL, STARTS_FROM}
            assert {".".join(key.split(".")[:2]) for key in settings} <= known
            of_model = {key.removeprefix("model."): value for key, value in settings.items() if "model." in key}
            parse_config("", config, [f"{key}={json.dumps(value)}" for key, value in of_model.items()])
            assert all(models[earlier] == own for earlier, own in settings.get(STARTS_FROM, {}).items())


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    """A file in the form of ml-1m-sequences, whose users walk round a ring of 30 items from anywhere."""
    root = tmp_path_factory.mktemp("sequences")
    (root / "ml-1m-sequences").mkdir()
    walks = [[(3 * user + step) % 30 + 1 for step in range(6 + user % 5)] for user in range(40)]
    lines = [f"{user} {item}\n" for user, walk in enumerate(walks, start=1) for item in walk]
    (root / "ml-1m-sequences" / "ml-1m.txt").write_text("".join(lines))
    return Place(root, root / "work"), walks


@pytest.mark.slow
def test_a_walk_round_a_ring_is_judged_three_ways(sequences):
    place, walks = sequences
    split = SPLITS["ml-1m-sequences"]
    without_seen, with_all, sampled = finished("markov", {"model.order": 1, "model.distance": 1}, 1, split, place)
    # Every last item is the next one on the ring, nobody has been there, and the validation item is read.
    for found in (without_seen, with_all):
        assert found.metrics["test/ndcg_at_10"] == 1
        assert found.ndcg.tolist() == [1.0] * len(walks)
    assert sampled.metrics["test_sampled/hit_rate_at_10"] == 1
    assert "seen" in str(without_seen.metrics["protocol"]) != str(with_all.metrics["protocol"])
    assert with_all.metrics["protocol"] != without_seen.metrics["protocol"]
    assert with_all.metrics["cost/train_seconds"] == without_seen.metrics["cost/train_seconds"]


@pytest.mark.slow
def test_nothing_excluded_leaves_what_was_taken_in_the_lists(sequences):
    place, walks = sequences
    split = SPLITS["ml-1m-sequences"]
    without_seen, with_all, _ = finished("popularity", {}, 1, split, place)
    counts = Counter(item for walk in walks for item in walk[:-2])
    data = JobData(DatasetDirectory(split.dataset(place.data_dir, place.work, cut=False)))
    order = {item.decode(): index for index, item in enumerate(data.catalogue.ids)}
    ranked = sorted(range(1, 31), key=lambda item: (-counts[item], order[str(item)]))

    def gain(walk, left):
        place_of = [item for item in ranked if item in left].index(walk[-1])
        return 1 / log2(place_of + 2) if place_of < 10 else 0

    assert with_all.ndcg.mean() == pytest.approx(np.mean([gain(walk, set(ranked)) for walk in walks]), abs=1e-6)
    expected = np.mean([gain(walk, set(ranked) - set(walk[:-1])) for walk in walks])
    assert without_seen.ndcg.mean() == pytest.approx(expected, abs=1e-6)
