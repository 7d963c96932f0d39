"""The click sets: what is read of the published files, who is drawn again, and models beside their halves."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.quality.arena import DATASETS, Arena
from benchmarks.quality.clicks import Clicks
from benchmarks.quality.contest import SIZES, Entry, Outcome
from benchmarks.quality.entrants import Entrant, our_models
from benchmarks.quality.estimate import Estimate
from benchmarks.quality.halves import HALVES, difference, halves_table, verdict
from benchmarks.quality.run import clicks_of
from benchmarks.training.exchange import read_fields, read_ids, read_split
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import read_part

HEAD = "age, workclass, fnlwgt, education, education-num, marital-status, occupation, relationship, race, sex, "
HEAD += "capital-gain, capital-loss, hours-per-week, native-country, Y\n"


def people(rows, seed, end):
    """Lines in the form of adult.data; `end` follows the label."""
    rng, lines = np.random.default_rng(seed), [HEAD]
    for _ in range(rows):
        age, gain, years = rng.integers(17, 80), rng.choice([0, 0, 0, 2174]), rng.integers(5, 16)
        job, country = rng.choice(["Sales", "Tech-support", "?"]), rng.choice(["Mexico", "United-States"])
        rich = ">50K" if rng.random() < 0.25 else "<=50K"
        lines.append(
            f"{age}, Private, {rng.integers(1, 9**6)}, HS-grad, {years}, Divorced, {job}, Unmarried, White, Female, "
            f"{gain}, 0, {rng.integers(10, 60)}, {country}, {rich}{end}\n"
        )
    return "".join(lines)


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    """Tiny files in the form of the published ones."""
    root = tmp_path_factory.mktemp("click_sets")
    census, movies = root / "census-income", root / "ml-1m"
    census.mkdir()
    movies.mkdir()
    (census / "adult.data").write_text(people(800, 1, ""))
    (census / "adult.test").write_text(people(150, 2, "."))
    rng = np.random.default_rng(3)
    users = [f"{user}::{'FM'[user % 2]}::25::{user % 5}::55455\n" for user in range(1, 41)]
    titles = [f"{item}::Caf\xe9 {item} (1995)::Drama|Comedy\n" for item in range(1, 31)]
    (movies / "users.dat").write_text("".join(users))
    (movies / "movies.dat").write_text("".join(titles), encoding="latin-1")
    pairs = [divmod(int(pair), 30) for pair in rng.permutation(40 * 30)[:700]]
    ratings = [f"{user + 1}::{item + 1}::{rng.integers(1, 6)}\n" for user, item in pairs]
    (movies / "ratings-no-timestamp.dat").write_text("".join(ratings))
    return Arena(root, root / "work")


def lines_of(path):
    return path.read_text().splitlines()


def labels(arena, name):
    dataset = DatasetDirectory(arena.dataset(DATASETS[name]))
    return {split: read_part(dataset, split)["label"] for split in ("train", "validation", "test")}


def test_census_income_is_divided_as_published_with_a_tenth_of_train_for_validation(arena):
    found = labels(arena, "census")
    folder = arena.data_dir / "census-income"
    for names, file in ((("train", "validation"), "adult.data"), (("test",), "adult.test")):
        rich = sum(line.rstrip(".").endswith(" >50K") for line in lines_of(folder / file)[1:])
        assert sum(found[name].sum() for name in names) == rich > 0
        assert sum(len(found[name]) for name in names) == len(lines_of(folder / file)) - 1
    assert 40 < len(found["validation"]) < 130


def test_likes_of_movielens_1m_are_ratings_from_four_on_divided_at_random(arena):
    found = labels(arena, "ml-1m-clicks")
    rows = [line.split("::") for line in lines_of(arena.data_dir / "ml-1m" / "ratings-no-timestamp.dat")]
    assert sum(part.sum() for part in found.values()) == sum(int(rating) >= 4 for _, _, rating in rows)
    assert sum(len(part) for part in found.values()) == len(rows)
    assert 40 < len(found["test"]) < 110


@pytest.mark.parametrize(
    ("name", "ids", "some"),
    [
        ("ml-1m-clicks", ("user_id", "item_id"), {"age": "id", "genres": "ids", "user_id": "id"}),
        ("census", ("occupation", "native_country"), {"age": "number", "age_bucket": "id", "education": "id"}),
    ],
)
def test_the_other_libraries_read_the_same_rows(arena, name, ids, some):
    folder = arena.exchange(DATASETS[name])
    assert read_ids(folder) == ids
    kinds = {field: about.kind for field, about in read_fields(folder).items()}
    assert some.items() <= kinds.items()
    dataset = DatasetDirectory(arena.dataset(DATASETS[name]))
    for split in ("train", "test"):
        ours, theirs = read_part(dataset, split), read_split(folder, split)
        assert set(theirs) == {*kinds, "label"}
        for column, values in theirs.items():
            np.testing.assert_array_equal(values, ours[column])


def test_rows_are_drawn_where_the_user_names_no_one(arena):
    records = {"user_index": np.array([1, 0, 1]), "item_index": np.array([5, 5, 4]), "label": np.array([1.0, 0.0, 0.0])}
    logits = np.array([0.1, 0.2, 0.3])
    by_row = clicks_of(DATASETS["census"], records, logits)
    assert by_row.users.tolist() == [0, 1, 2]
    assert by_row.logits.tolist() == [0.1, 0.2, 0.3]
    by_user = clicks_of(DATASETS["ml-1m-clicks"], records, logits)
    assert by_user.users.tolist() == [0, 1, 1]
    assert by_user.logits.tolist() == [0.2, 0.3, 0.1]
    assert by_user.labels.tolist() == [0, 0, 1]


def entry(name, strength, seeds=3):
    """Runs on the same 900 events, whose logits hold so much of the label."""
    rng = np.random.default_rng(0)
    users, labels = rng.integers(0, 90, 900), (rng.random(900) < 0.5).astype(float)
    runs = []
    for seed in range(seeds):
        noise = np.random.default_rng(seed + 1).normal(size=900)
        clicks = Clicks.of(users, np.arange(900), labels, strength * labels + noise)
        runs.append(SimpleNamespace(clicks=clicks, metric=lambda of, metric, clicks=clicks: clicks.metrics()[metric]))
    return Entry(Entrant(name, name, "ranking"), {}, 1, runs)


def rows_of(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[4:]]


def test_each_model_stands_beside_its_halves_with_the_paired_difference():
    entries = [entry("wide_deep", 1.5), entry("wide", 0.5), entry("deep", 1.5), entry("dcn", 1.5)]
    outcome = Outcome(DATASETS["census"], entries)
    better, same = rows_of(halves_table(outcome))
    assert better[:2] == ["wide_deep", "wide"]
    assert better[-2:] == ["3 of 3", "better than the half"]
    assert same[:2] == ["wide_deep", "deep"]
    assert same[-2:] == ["0 of 3", "not told apart from the half"]
    auc = [np.mean([run.metric("test", "auc") for run in one.runs]) for one in entries[:2]]
    assert better[2].startswith(f"{auc[0] - auc[1]:+.4f} (")
    found = difference(entries[0], entries[1], "auc")
    assert found.low < found.mean < found.high
    assert halves_table(Outcome(DATASETS["census"], [entry("deepfm", 1.0), entry("wide", 1.0)])) is None


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.001, 0.01, "better than the half"), (-0.01, -0.001, "worse than the half"),
     (-0.001, 0.01, "not told apart from the half")],
)  # fmt: skip
def test_a_difference_whose_interval_holds_0_is_none(low, high, expected):
    assert verdict(Estimate(0.005, low, high)) == expected


def test_halves_are_models_of_ours():
    ranking = {one.name for one in our_models() if one.task == "ranking"}
    assert {*HALVES, *(half for halves in HALVES.values() for half in halves)} <= ranking
    assert set(SIZES["ranking"].datasets) == {name for name, data in DATASETS.items() if data.task == "ranking"} - {
        "generated-clicks"
    }


def test_a_set_that_an_earlier_version_wrote_is_of_users_and_items(tmp_path):
    (tmp_path / "about.json").write_text(json.dumps({"fields": {}}))
    assert read_ids(tmp_path) == ("user_id", "item_id")
