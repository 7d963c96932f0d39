"""What a ranking model has learnt, on the page and in importance.json, of a job that knows its label too well."""

import html
import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.planted_world import quiet_console, read_csv
from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ArtifactError
from trainer.config import resolve_config
from trainer.data import JobData
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.report.learnt.crosses import strongest_combinations
from trainer.report.write import write_report
from trainer.run import run_job

OVERRIDES = (
    "features.stars={role: context, kind: categorical, column: rating}",  # the label is stars ≥ 4
    "crosses={age_x_genres: {of: [age, genres], hash_buckets: 5000}}",
    "split={strategy: random}",
)


@pytest.fixture(scope="module")
def job(world, tmp_path_factory):
    dataset = world.dataset("learnt", *OVERRIDES)
    config = resolve_config(
        "deepfm", None, ["train.learning_rate=0.02", "train.epochs=3", "model.embedding_l2=0.001"],
        dataset=str(dataset), dataset_fingerprint=DatasetDirectory(dataset).fingerprint, seed=1,
    )  # fmt: skip
    found = JobDirectory(tmp_path_factory.mktemp("learnt") / "job")
    run_job(config, found, quiet_console())
    return found


@pytest.fixture(scope="module")
def page(job):
    return write_report(job).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def figures(job, page):
    return json.loads(job.importance.read_text(encoding="utf-8"))


def section(page, name):
    text = page.split(f'<h2 id="{name}">')[1].split("<h2 ")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_the_field_that_holds_the_label_matters_most(figures):
    changes = {name: found["change"] for name, found in figures["importance"].items()}
    assert max(changes, key=changes.get) == "stars"
    assert figures["importance"]["stars"]["low"] > 0
    assert changes["stars"] > 5 * max(value for name, value in changes.items() if name != "stars")
    assert {"all of user", "all of item"} <= set(changes)
    assert figures["metric"] == "log_loss"


def test_the_baseline_of_importance_is_the_metric_of_the_job(job, figures):
    metrics = job.read_metrics()
    assert figures["rows"] == metrics["test/rows"]
    assert figures["baseline"] == pytest.approx(metrics["test/log_loss"], abs=1e-6)


def test_the_page_says_what_the_file_says(page, figures):
    text = section(page, "learnt")
    stars = figures["importance"]["stars"]
    assert f"stars {stars['change']:+.4f} [{stars['low']:.4f}, {stars['high']:.4f}]" in text
    first = figures["pairs"][0]
    assert f"{' × '.join(first['fields'])} {first['mean_absolute']:.4f}" in text
    for one in figures["crosses"]:
        assert f"{' '.join(one['values'])} {one['weight']:+.3f}" in text or abs(one["weight"]) < 0.0005
    assert '<a href="#learnt">' in page


def test_the_page_needs_nothing_else_and_stays_small(page):
    assert len(page.encode()) < 1_000_000
    assert set(re.findall(r"https?://[^\s\"'<>]+", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert not re.search(r"<script|<img|<link rel=\"stylesheet|@import|url\((?!#)", page)


def test_combinations_weigh_what_the_events_that_have_them_are_given(job, figures):
    """Of events with one genre the first-order term of the cross is the weight of their combination."""
    model, data, _ = load_model(job)
    test = data.split("test")
    records = {name: test[name] for name in model.required_features}
    place = model.embedding.plan.terms.index("age_x_genres")
    weights = model.embed({name: tf.constant(values) for name, values in records.items()}).weights[:, place].numpy()
    found = strongest_combinations(model, data, records)
    assert [one.total for one in found] == sorted((one.total for one in found), reverse=True)
    genres = data.schema.features["genres"]
    tokens = data.catalogue.tokens["genres"]
    compared = 0
    for one in found:
        genre = genres.first_token_id + tokens.tolist().index(one.values[1].encode())
        single = np.flatnonzero((records["genres"][:, 0] == genre) & (records["genres"][:, 1] == 0))
        near = np.isclose(weights[single], one.weight, atol=1e-7)
        compared += near.any()
    assert compared >= len(found) // 2 > 0
    assert len(figures["crosses"]) == len(found)


def test_neighbours_are_items_of_the_log(world, page):
    titles = {row["title"] for row in read_csv(world.logs / "items.csv")}
    text = page.split("What is alike: item_id")[1].split("</table>")[0]
    names = [html.unescape(one) for one in re.findall(r'<th scope="row">(.*?)</th>', text)]
    assert len(names) == 6
    assert set(names) <= titles
    assert "What is alike: genres" in page
    assert "What is alike: user_id" not in page


def test_bias_stands_beside_calibration_on_the_whole_and_by_slice(job, page):
    text = section(page, "calibration")
    metrics = job.read_metrics()
    ratio = re.search(r"deepfm \d[\d,]* [\d.]+ [\d.]+ ([\d.]+) \[", text)
    assert float(ratio[1]) == pytest.approx(metrics["test/calibration_ratio"], abs=6e-4)
    for title in ("User activity", "Item popularity", "user: country", "item: genres", "context: stars"):
        assert title in text


def test_slices_by_context_compare_models_too(page):
    assert "context: stars" in section(page, "slices")


def test_the_same_job_gives_the_same_page_and_one_elsewhere_leaves_the_job_alone(job, page, tmp_path):
    written = job.importance.stat().st_mtime_ns
    assert write_report(job, path=tmp_path / "again.html").read_text(encoding="utf-8") == page
    assert job.importance.stat().st_mtime_ns == written
    assert not (tmp_path / "importance.json").exists()


def test_a_job_whose_model_cannot_be_built_has_a_page_without_what_it_learnt(job, tmp_path, monkeypatch):
    def fail(job):
        raise ArtifactError("no weights")

    monkeypatch.setattr("trainer.report.write.load_model", fail)
    copy = JobDirectory(shutil.copytree(job.path, tmp_path / "job"))
    copy.importance.unlink()
    page = write_report(copy).read_text(encoding="utf-8")
    assert 'id="learnt"' not in page
    assert 'id="calibration"' in page
    assert not copy.importance.exists()


def test_combinations_are_counted_in_the_training_split(world, figures):
    train = JobData(DatasetDirectory(world.dataset("learnt", *OVERRIDES))).columns("train", ("age", "genres"))
    rows = sum((ids != 0).sum() for age, ids in zip(train["age"], train["genres"], strict=True) if age)
    assert 0 < sum(one["events"] for one in figures["crosses"]) <= rows
