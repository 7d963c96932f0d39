"""The page of a job: what it says, that it needs nothing else, and that nothing in the data can break it."""

import csv
import html
import json
import re
import shutil
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
import tensorflow as tf

from tests.trainer.planted_world import quiet_console, read_csv, write_csv
from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ArtifactError, ConfigError, SchemaError
from trainer import task
from trainer.config import resolve_config
from trainer.job import JobDirectory
from trainer.report.__main__ import main
from trainer.report.curves import read_scalars
from trainer.report.write import _item_map, write_report
from trainer.run import run_job

SHORT = ("train.epochs=2", "model.item_features=[genres]")
HOSTILE = "<script>alert('x')</script> & \"$1$\" <b>"


@pytest.fixture(scope="module")
def two_tower(world):
    return world.job("two_tower", *SHORT)


@pytest.fixture(scope="module")
def page(two_tower, tmp_path_factory):
    path = write_report(two_tower, path=tmp_path_factory.mktemp("page") / "report.html")
    return path.read_text(encoding="utf-8")


def text_of(page):
    """What a reader sees, without tags."""
    body = re.sub(r"<(style|title)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_first_lines_say_model_dataset_figure_interval_and_verdict(two_tower, page):
    metrics = two_tower.read_metrics()
    baselines = [key.split("/")[1] for key in metrics if re.fullmatch(r"test/\w+/ndcg_at_10", key)]
    best = max(baselines, key=lambda name: metrics[f"test/{name}/ndcg_at_10"])
    value, low, high = (metrics[f"test/ndcg_at_10{end}"] for end in ("", "/low", "/high"))
    text = text_of(page)
    assert text.startswith("two_tower on planted ")
    assert f"{value:.4f} [{low:.4f}, {high:.4f}] {best}, the best baseline: " in text[:400]
    other = metrics[f"test/{best}/ndcg_at_10"]
    assert f"the best baseline: {other:.4f}" in text[:400]
    verdict = re.search(rf"(better than|worse than|no better than) {best} [^<]*? p [=<] 0\.\d+, in NDCG@10", text)
    assert verdict
    by = float(re.search(r"([+-]?0\.\d+) \[", verdict[0])[1])
    assert abs(by) == pytest.approx(abs(value - other), abs=1e-4)


def test_every_section_of_a_retrieval_model_is_there(page):
    found = re.findall(r'<h2 id="(\w+)">', page)
    expected = ["learning", "cuts", "slices", "popularity", "map", "examples", "dataset", "cost", "protocol", "config"]
    assert found == expected
    links = re.findall(r'<a href="#(\w+)">', page)
    assert links == expected


def test_the_page_needs_no_other_file_and_no_script(page):
    assert "<script" not in page
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}, addresses  # names, not places
    assert not re.findall(r"@import|url\((?!#)", page)
    assert all(link == "data:," for link in re.findall(r'<link[^>]*href="([^"]*)"', page))
    assert len(page.encode()) < 1_500_000


def test_the_same_job_gives_the_same_bytes(two_tower, page, tmp_path):
    assert write_report(two_tower, path=tmp_path / "again.html").read_text(encoding="utf-8") == page


class Balance(HTMLParser):
    """Every element is closed by its own end."""

    VOID = {"meta", "link", "br", "path", "use", "line", "circle", "rect"}

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_every_element_is_closed(page):
    parser = Balance()
    parser.feed(page)
    assert parser.open == []


def test_recommendations_of_the_examples_are_those_of_the_kept_lists(world, two_tower, page):
    from trainer.evaluation.predictions import read_lists

    lists = read_lists(two_tower.path / "predictions" / "test.parquet")
    catalogue = world.data().catalogue
    titles = [title.decode() for title in catalogue.display["title"]]
    listed = {tuple(titles[i] for i in row[:10]) for row in lists.items}
    cards = page.split('<div class="card">')[1:]
    assert len(cards) >= 5
    for card in cards:
        shown = re.search(r"<ol>(.*?)</ol>", card, re.DOTALL)[1]
        found = [html.unescape(one).removesuffix(" ✓") for one in re.findall(r"<li[^>]*>(.*?)</li>", shown)]
        assert tuple(found) in listed
        hits = [html.unescape(one) for one in re.findall(r'<li class="hit">(.*?) ✓</li>', shown)]
        took = card.split("<h4>took</h4>")[1]
        assert all(title in html.unescape(took) for title in hits)
        assert bool(hits) == any(0 < int(rank) <= 10 for rank in re.findall(r"at rank (\d+)", took))


def test_the_item_map_names_items_of_the_catalogue(world, page):
    titles = {title.decode() for title in world.data().catalogue.display["title"]}
    shown = [html.unescape(title) for title in re.findall(r"<title>(.*?)</title></circle>", page)]
    assert set(shown) <= titles
    counts = world.data().interactions("train").item_counts()
    assert len(shown) == (counts > 0).sum()


@pytest.mark.parametrize("name", ["ease", "item_knn", "popularity", "deepfm"])
def test_a_model_without_towers_is_not_built_for_the_item_map(monkeypatch, name):
    monkeypatch.setattr("trainer.report.write.load_model", lambda job: pytest.fail("loaded"))
    assert _item_map(SimpleNamespace(name=name, job=None, data=None), None) is None


@pytest.mark.parametrize(
    "error",
    [
        ArtifactError("no weights"),
        SchemaError("other features"),
        MemoryError(),
        tf.errors.ResourceExhaustedError(None, None, "out of memory"),
    ],
)
def test_a_model_that_cannot_be_built_leaves_out_the_item_map(monkeypatch, error):
    def fail(job):
        raise error

    monkeypatch.setattr("trainer.report.write.load_model", fail)
    assert _item_map(SimpleNamespace(name="two_tower", job=None, data=None), None) is None


def test_the_item_map_is_of_the_model_at_hand(monkeypatch):
    monkeypatch.setattr("trainer.report.write.load_model", lambda job: pytest.fail("loaded"))
    monkeypatch.setattr("trainer.report.write.item_map", lambda *given: given)
    results = SimpleNamespace(name="two_tower", job=None, data="data")
    assert _item_map(results, "model") == ("model", "data")


def test_a_ranking_model_has_calibration_and_events_instead_of_lists(world, tmp_path):
    job = world.job("deepfm", "train.learning_rate=0.01")
    text = write_report(job, path=tmp_path / "report.html").read_text(encoding="utf-8")
    found = set(re.findall(r'<h2 id="(\w+)">', text))
    assert {"calibration", "examples", "slices", "learning"} <= found
    assert not {"cuts", "map", "popularity"} & found
    metrics = job.read_metrics()
    assert f"{metrics['test/log_loss']:.4f} [" in text_of(text)[:400]
    assert "item_mean, the best baseline" in text_of(text)[:400]
    assert "most overrated" in text
    assert "ask only for the items" not in text_of(text)
    assert "Slices by item are of the events with these items" in text_of(text)
    assert not re.search(r"[+-]0\.0+(?!\d)", text_of(text).split("Slices by item")[1].split("Examples of pred")[0])


@pytest.mark.parametrize("name", ["item_knn", "popularity"])
def test_a_baseline_of_the_jobs_own_model_has_another_name(world, tmp_path, name):
    job = world.job(name, "evaluation.baselines=[popularity, item_knn]", "evaluation.baseline_trials=1")
    text = text_of(write_report(job, path=tmp_path / "report.html").read_text(encoding="utf-8"))
    other = {"item_knn": "item_knn (tuned)", "popularity": "popularity (tuned)"}[name]
    strip = re.split(r"no better|better than|worse than", text.split("NDCG@10 with 95 % intervals")[1])[0]
    assert re.findall(rf"{name}(?: \(\w+\))? 0\.", strip) == [f"{name} 0.", f"{other} 0."]


def test_a_model_without_epochs_has_a_page_without_learning_curves(world, tmp_path):
    text = write_report(world.job("popularity"), path=tmp_path / "report.html").read_text(encoding="utf-8")
    found = re.findall(r'<h2 id="(\w+)">', text)
    assert "learning" not in found
    assert "map" not in found
    assert "cuts" in found


def test_a_job_that_was_not_evaluated_at_10_is_about_another_k(world, tmp_path):
    job = JobDirectory(shutil.copytree(world.job("popularity").path, tmp_path / "job"))
    metrics = {key: value for key, value in job.read_metrics().items() if not re.search(r"_at_(5|10)(/|$)", key)}
    metrics["test/item_knn/ndcg_at_20"] = 0.0123
    job.metrics.write_text(json.dumps(metrics))
    text = text_of(write_report(job).read_text(encoding="utf-8"))
    assert f"NDCG@20 on test, {metrics['test/users']:,} users {metrics['test/ndcg_at_20']:.4f} [" in text[:400]
    assert "the best baseline: " in text[:400]


def test_a_job_whose_predictions_are_gone_says_what_is_left_out(two_tower, tmp_path):
    job = JobDirectory(shutil.copytree(two_tower.path, tmp_path / "job"))
    shutil.rmtree(job.path / "predictions")
    text = write_report(job).read_text(encoding="utf-8")
    assert "The predictions of this job were not kept" in text
    assert "untested" in text_of(text)[:600]
    assert not {"slices", "cuts", "examples"} & set(re.findall(r'<h2 id="(\w+)">', text))


def test_learning_curves_are_what_training_logged(two_tower):
    values = list(read_scalars(two_tower.logs)["validation/ndcg_at_10"].values())
    metrics = two_tower.read_metrics()
    assert len(values) == metrics["train/epochs"]
    assert max(values) == pytest.approx(metrics["train/best_ndcg_at_10"])


def test_of_an_epoch_that_a_resumed_run_repeats_the_later_figure_counts(tmp_path):
    for name, points in (("1", {10: 0.5, 20: 0.4, 30: 0.3}), ("2", {30: 0.2, 40: 0.1})):
        writer = tf.summary.create_file_writer(str(tmp_path / name))
        with writer.as_default():
            for step, loss in points.items():
                tf.summary.scalar("epoch/loss", loss, step=step)
        writer.close()
        written = next((tmp_path / name).glob("events.*"))
        written.rename(tmp_path / f"events.out.tfevents.{name}.host.1.0.v2")
    with open(tmp_path / "events.out.tfevents.2.host.1.0.v2", "ab") as file:
        file.write(b"torn")
    found = read_scalars(tmp_path)["epoch/loss"]
    assert found == pytest.approx({10: 0.5, 20: 0.4, 30: 0.2, 40: 0.1})


@pytest.fixture(scope="module")
def hostile_job(world, tmp_path_factory):
    """A job on a log whose ids, titles and categories are markup."""
    root = tmp_path_factory.mktemp("hostile")
    logs = root / "logs"
    shutil.copytree(world.logs, logs)
    items, users = read_csv(logs / "items.csv"), read_csv(logs / "users.csv")
    for row in items:
        row["title"] = f"{HOSTILE} {row['title']}"
        row["genres"] = "|".join(f"{genre}</title><script>" for genre in row["genres"].split("|"))
    for row in users:
        row["country"] = f"{row['country']}<i>&amp;"
    write_csv(logs / "items.csv", items)
    write_csv(logs / "users.csv", users)
    dataset = world.dataset("hostile", "name=a & b", logs=logs)
    config = resolve_config(
        "two_tower", None, [*SHORT, "train.epochs=1", "evaluation.baselines=[popularity]"],
        dataset=str(dataset), dataset_fingerprint=DatasetDirectory(dataset).fingerprint, seed=1,
    )  # fmt: skip
    job = JobDirectory(root / "job")
    run_job(config, job, quiet_console())
    return job


def test_markup_in_the_data_is_shown_and_never_obeyed(hostile_job):
    page = write_report(hostile_job).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<i>&amp;" not in page
    assert "<b>" not in page
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert HOSTILE in html.unescape(page)
    assert "two_tower on a & b" in text_of(page)


def test_the_command_writes_into_the_job_and_says_where(two_tower, tmp_path, capsys):
    job = shutil.copytree(two_tower.path, tmp_path / "job")
    main(["--job-dir", str(job)])
    assert (job / "report.html").exists()
    assert "report.html" in " ".join(capsys.readouterr().err.split())


def test_what_is_not_an_evaluated_job_is_refused_in_one_line(two_tower, tmp_path):
    with pytest.raises(ArtifactError, match="not a job"):
        main(["--job-dir", str(tmp_path)])
    job = shutil.copytree(two_tower.path, tmp_path / "job")
    (job / "metrics.json").write_text(json.dumps({"train/epochs": 3}))
    with pytest.raises(ArtifactError, match="has no metrics of test"):
        main(["--job-dir", str(job)])
    with pytest.raises(ConfigError, match="cannot be written"):
        main(["--job-dir", str(two_tower.path), "--output", str(tmp_path / "absent" / "report.html")])


def test_the_log_of_the_planted_world_has_titles(world):
    """Else the tests above would compare nothing."""
    with open(world.logs / "items.csv", encoding="utf-8", newline="") as file:
        assert any(row["title"] for row in csv.DictReader(file))


def test_training_hands_its_model_to_the_page_instead_of_loading_it_again(world, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("trainer.report.write.load_model", lambda job: pytest.fail("loaded"))
    settings = [part for one in (*SHORT, "evaluation.baselines=[popularity]") for part in ("--set", one)]
    places = ["--dataset", str(world.dataset()), "--job-dir", str(tmp_path / "job")]
    task.main([*places, "--model", "two_tower", "--no-export", *settings, "--set", "train.epochs=1"])
    page = (tmp_path / "job" / "report.html").read_text(encoding="utf-8")
    monkeypatch.undo()
    assert '<h2 id="map">' in page
    assert write_report(JobDirectory(tmp_path / "job")).read_text(encoding="utf-8") == page
    assert f"report {tmp_path / 'job' / 'report.html'}" in capsys.readouterr().err
