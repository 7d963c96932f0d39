"""`python -m trainer.task` and its neighbours as people use them."""

import json
import math
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
import yaml

from tests.trainer.planted_world import quiet_console
from tfrec.errors import ArtifactError, ConfigError
from trainer import evaluate, export, task, tune
from trainer.exported import current_version
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.run import run_job

QUICK = ["--set", "train.epochs=2", "--set", "train.batch_size=2048", "--set", "model.embedding_dim=4"]
TIMES = {"train/training_seconds", "train/examples_per_second"}


def without_times(metrics):
    """What two runs of the same job agree on."""
    return {k: v for k, v in metrics.items() if k not in TIMES and not k.startswith("cost/")}


@pytest.fixture
def command(world, tmp_path):
    """Arguments of a quick two-tower job."""

    def make(*more, dataset=None, model="two_tower", job="job"):
        dataset = dataset or world.dataset()
        return ["--dataset", str(dataset), "--model", model, "--job-dir", str(tmp_path / job), *more]

    return make


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    """A quick job made by the command itself in a process of its own: (directory, finished process)."""
    directory = tmp_path_factory.mktemp("finished") / "job"
    arguments = ["--dataset", str(world.dataset()), "--model", "two_tower", "--job-dir", str(directory), *QUICK]
    done = subprocess.run(
        [sys.executable, "-m", "trainer.task", *arguments, "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return JobDirectory(directory), done


@pytest.mark.parametrize(
    ("module", "program"),
    [(task, "trainer.task"), (evaluate, "trainer.evaluate"), (export, "trainer.export"), (tune, "trainer.tune")],
)
def test_help_shows_an_example_first(capsys, module, program):
    with pytest.raises(SystemExit) as caught:
        module.main(["--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"example: python -m {program} --")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--epoch", "3"], "unknown flag '--epoch'; did you mean '--epochs'?"),
        (["--eval-steps", "3"], "--eval-steps: has no meaning here; metrics are always of the whole validation split"),
        (["--num-epochs", "2", "--set", "train.epochs=3"], "--num-epochs 2 and --set train.epochs=3 disagree"),
        (["--job_dirr=x"], "unknown flag '--job_dirr'; did you mean '--job-dir'?"),
        (["stray"], "unexpected argument 'stray'; every value belongs to a flag"),
        (["--seed", "one"], "argument --seed: got 'one'; allowed: 0 to 2147483640"),
        (["--set", "train.epoch=3"], "--set: unknown key 'epoch' in 'train'; did you mean 'epochs'?"),
        (["--set", "train.epochs=0"], "--set: train.epochs: got 0; input should be greater than or equal to 1"),
        (["--set", "model.embeding_dim=3"], "--set: unknown key 'embeding_dim' in 'model'; did you mean"),
        (["--set", "train.monitor=ndgc_at_10"], "train.monitor: no metric 'ndgc_at_10'; did you mean 'ndcg_at_10'?"),
        (["--set", "model.user_features=[contry]"], "model.user_features: no encoded feature 'contry'"),
        (["--config", "/nowhere.yaml"], "--config /nowhere.yaml: cannot be read (No such file"),
        (["--model", "two_towers"], "unknown model 'two_towers'; did you mean 'two_tower'?"),
    ],
)
def test_a_mistake_is_one_line_with_the_way_out(command, tmp_path, more, message):
    with pytest.raises(ConfigError) as caught:
        task.main(command(*more))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "job" / "checkpoints").exists()


def test_a_dataset_that_is_none_is_named(command, tmp_path):
    with pytest.raises(ArtifactError, match="not a dataset"):
        task.main(command(dataset=tmp_path))


def test_a_config_file_is_read_and_its_errors_have_lines(command, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("train:\n  epochs: 1\n  batchsize: 3\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml:3: unknown key 'batchsize' in 'train'; did you mean"):
        task.main(command("--config", str(path)))


def test_a_mistake_of_the_caller_exits_with_2_and_one_line(command):
    done = subprocess.run(
        [sys.executable, "-m", "trainer.task", *command("--modle", "x")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "ConfigError: unknown flag '--modle'; did you mean '--model'?\n"


def test_a_mistake_that_ended_a_run_before_its_first_epoch_does_not_claim_the_directory(command, tmp_path):
    with pytest.raises(ConfigError, match="no metric"):
        task.main(command(*QUICK, "--set", "train.monitor=accuracy"))
    task.main(command(*QUICK, "--no-export"))
    assert json.loads((tmp_path / "job" / "metrics.json").read_text())["train/epochs"] == 2


def test_a_job_leaves_config_metrics_logs_checkpoints_and_an_export(finished):
    job, done = finished
    assert {path.name for path in job.path.iterdir()} == {
        "config.yaml",
        "checkpoints",
        "logs",
        "metrics.json",
        "predictions",
        "report.html",
        "baselines.json",
        "vocabulary",
        "export",
    }
    assert (job.export("two_tower") / "1" / "saved_model.pb").exists()
    assert json.loads(done.stdout) == job.read_metrics()
    assert done.stderr.count("best") + done.stderr.count("epoch   2") >= 2
    assert "Traceback" not in done.stderr
    assert "WARNING" not in done.stderr


def test_metrics_are_flat_numbers_with_the_protocol_beside_them(finished):
    metrics = finished[0].read_metrics()
    protocol = metrics.pop("protocol")
    sets, baselines = ("validation", "test", "test_training_history"), ("popularity", "item_knn", "ease")
    assert {"ranking", "users", "intervals", "cost", *sets, *(f"baseline {name}" for name in baselines)} <= set(
        protocol
    )
    assert all(isinstance(words, str) for words in protocol.values())
    assert all(isinstance(value, int | float) and math.isfinite(value) for value in metrics.values())
    for split in sets:
        assert metrics[f"{split}/users"] == 300
        for name in ("ndcg", "recall", "hit_rate", "precision", "mrr", "map", "map_n"):
            for k in (5, 10, 20, 50, 100):
                low, high = (metrics[f"{split}/{name}_at_{k}/{end}"] for end in ("low", "high"))
                rounding = 1e-9  # of users who all have the same value
                assert -rounding <= low <= metrics[f"{split}/{name}_at_{k}"] + rounding <= high + 2 * rounding
                for baseline in baselines:
                    assert 0 <= metrics[f"{split}/{baseline}/{name}_at_{k}"] <= 1
    rest = {key for key in metrics if key.startswith(("train/", "cost/"))}
    assert {key.split("/")[0] for key in metrics if key not in rest} == set(sets)
    assert {key for key in rest if key.startswith("train/")} == {
        *("train/epochs", "train/steps", "train/best_epoch", "train/best_ndcg_at_10"),
        *TIMES,
    }


def test_tensorboard_has_a_scalar_per_epoch(finished):
    job, _ = finished
    found = {}
    for path in job.logs.glob("events.out.tfevents.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    assert {"train/loss", "validation/ndcg_at_10", "validation/recall_at_100"} <= set(found)
    steps = -(-7608 // 2048)
    for tag, scalars in found.items():
        if tag.startswith("validation/"):
            assert sorted(scalars) == [steps, 2 * steps], tag
    best = max(found["validation/ndcg_at_10"].values())
    assert job.read_metrics()["train/best_ndcg_at_10"] == pytest.approx(best, rel=1e-6)


def test_another_process_with_the_same_seed_gets_the_same_metrics(finished, command, tmp_path):
    task.main(command(*QUICK, "--no-export"))
    found = JobDirectory(tmp_path / "job").read_metrics()
    expected = finished[0].read_metrics()
    assert without_times(found) == without_times(expected)


def test_another_seed_gives_other_metrics(finished, command, tmp_path):
    task.main(command(*QUICK, "--no-export", "--seed", "2"))
    found, expected = JobDirectory(tmp_path / "job").read_metrics(), finished[0].read_metrics()
    assert found["test/ndcg_at_100"] != expected["test/ndcg_at_100"]
    assert found["test/popularity/ndcg_at_100"] == expected["test/popularity/ndcg_at_100"]


@pytest.fixture
def copied(finished, tmp_path):
    shutil.copytree(finished[0].path, tmp_path / "job")
    return JobDirectory(tmp_path / "job")


def test_a_finished_job_is_evaluated_again_but_not_trained_again(copied, command, capsys):
    before = copied.read_metrics()
    files = {p: p.stat().st_mtime_ns for p in (copied.path / "checkpoints").rglob("*") if p.is_file()}
    task.main(command(*QUICK, "--no-export"))
    assert "epoch   " not in capsys.readouterr().err
    assert without_times(copied.read_metrics()) == without_times(before)
    assert {p: p.stat().st_mtime_ns for p in (copied.path / "checkpoints").rglob("*") if p.is_file()} == files


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--set", "train.epochs=3"], r"holds another job \(train.epochs \d+ there, 3 here\)"),
        (["--set", "model.embedding_dim=5"], r"holds another job \(model.embedding_dim \d+ there, 5 here\)"),
        (["--seed", "2"], r"holds another job \(seed 1 there, 2 here\)"),
        (
            ["--model", "popularity", "--set", "model={}"],
            r"holds another job \(model_name two_tower there, popularity here; ",
        ),
    ],
)
def test_another_job_in_the_same_directory_is_refused(copied, command, change, message):
    before = copied.config.read_text()
    with pytest.raises(ConfigError, match=message):
        task.main(command(*QUICK, *change))
    assert copied.config.read_text() == before


@pytest.fixture
def changed_dataset(world, tmp_path):
    directory = shutil.copytree(world.dataset(), tmp_path / "changed")
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["fingerprint"] = "0123456789abcdef"
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


def test_a_job_is_not_continued_on_another_dataset(world, copied, command, changed_dataset):
    before = copied.config.read_text()
    with pytest.raises(ConfigError) as caught:
        task.main(command(*QUICK, dataset=changed_dataset))
    assert str(caught.value) == (
        f"--job-dir {copied.path}: was trained on another dataset ({world.dataset()}); name a new directory"
    )
    assert copied.config.read_text() == before


def test_a_job_is_not_continued_on_a_dataset_that_has_changed_under_it(copied, command, changed_dataset):
    config = yaml.safe_load(copied.config.read_text())
    copied.config.write_text(yaml.safe_dump({**config, "dataset": str(changed_dataset)}))
    with pytest.raises(ConfigError) as caught:
        task.main(command(*QUICK, dataset=changed_dataset))
    assert str(caught.value) == (
        f"--job-dir {copied.path}: {changed_dataset} has changed since the job was started (it was "
        f"{config['dataset_fingerprint']}); name a new directory"
    )


def test_a_job_is_not_continued_on_a_dataset_of_another_schema(world, copied, command):
    other = world.dataset("fewer_items", "features.item_id.max_size=50")
    with pytest.raises(ConfigError) as caught:
        task.main(command(*QUICK, dataset=other))
    assert str(caught.value) == (
        f"--job-dir {copied.path}: was trained on a dataset with another schema ({world.dataset()}: differs in the "
        "features item_id); name a new directory"
    )


def test_a_job_whose_dataset_changed_is_neither_evaluated_nor_exported(copied, changed_dataset):
    config = yaml.safe_load(copied.config.read_text())
    copied.config.write_text(yaml.safe_dump({**config, "dataset": str(changed_dataset)}))
    for main in (evaluate.main, export.main):
        with pytest.raises(ArtifactError, match=r"changed since .* was trained on it; train again"):
            main(["--job-dir", str(copied.path)])


@pytest.mark.parametrize(
    ("name", "override", "what"),
    [
        ("fewer_items", "features.item_id.max_size=50", "features"),
        ("other_training", "split={strategy: temporal, validation: 0.2, test: 0.3}", "vocabularies"),
    ],
)
def test_a_dataset_in_which_ids_mean_something_else_is_refused(world, finished, name, override, what):
    with pytest.raises(ArtifactError, match=f"has other {what} than .* where the model was trained"):
        evaluate.main(["--job-dir", str(finished[0].path), "--dataset", str(world.dataset(name, override))])


def test_another_dataset_with_the_same_ids_is_evaluated(finished, changed_dataset, capsys):
    evaluate.main(["--job-dir", str(finished[0].path), "--dataset", str(changed_dataset), "--json"])
    found, expected = json.loads(capsys.readouterr().out), finished[0].read_metrics()
    assert found["test/ndcg_at_10"] == pytest.approx(expected["test/ndcg_at_10"], rel=1e-6)


def test_evaluation_writes_nothing(finished):
    job, _ = finished
    before = sorted((str(p), p.stat().st_mtime_ns) for p in job.path.rglob("*"))
    evaluate.main(["--job-dir", str(job.path)])
    assert sorted((str(p), p.stat().st_mtime_ns) for p in job.path.rglob("*")) == before


@pytest.mark.parametrize("main", [evaluate.main, export.main])
def test_a_directory_without_a_job_is_named(tmp_path, main):
    with pytest.raises(ArtifactError, match=r"not a job \(no config.yaml\)"):
        main(["--job-dir", str(tmp_path)])


@pytest.mark.parametrize("content", ["", "[]", "model: {}", "a: [", "model_name: popularity\nmodel: {x: 1}\ntrain: {}"])
def test_a_damaged_config_of_a_job_is_one_clear_line(tmp_path, content):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(ArtifactError, match=r"config\.yaml: damaged") as caught:
        evaluate.main(["--job-dir", str(tmp_path)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["{", ""])
def test_damaged_metrics_are_one_clear_line(copied, content):
    copied.metrics.write_text(content)
    with pytest.raises(ArtifactError, match=r"metrics\.json"):
        export.main(["--job-dir", str(copied.path)])


@pytest.mark.parametrize("model", ["two_tower", "deepfm"])
def test_an_empty_validation_split_is_refused_with_the_way_out(world, tmp_path, model):
    world.dataset("no_validation", "split={strategy: temporal, validation: 0, test: 0.2}")
    config = world.config(model, dataset="no_validation")
    with pytest.raises(ConfigError, match=r"the validation split is empty.*give split.validation a share"):
        run_job(config, JobDirectory(tmp_path), quiet_console())


def test_a_model_without_training_needs_no_validation_split(world, tmp_path):
    world.dataset("no_validation", "split={strategy: temporal, validation: 0, test: 0.2}")
    metrics = run_job(world.config("popularity", dataset="no_validation"), JobDirectory(tmp_path), quiet_console())
    assert metrics["validation/users"] == 0
    assert metrics["test/users"] > 0


def test_a_finished_and_exported_job_is_not_exported_again(copied, command, capsys):
    before = {path: path.stat().st_mtime_ns for path in copied.export("two_tower").rglob("*")}
    task.main(command(*QUICK))
    assert f"{copied.export('two_tower') / '1'} is up to date" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in copied.export("two_tower").rglob("*")} == before


@pytest.mark.parametrize("what", ["weights", "version", "torn"])
def test_a_job_that_is_not_what_was_exported_is_exported_again(copied, what):
    """Another training shows in what it says of itself; another release and a torn version are new exports too."""
    version = copied.export("two_tower") / "1"
    if what == "torn":
        (version / "saved_model.pb").unlink()
    else:
        card = json.loads((version / "model_card.json").read_text())
        if what == "weights":
            card["metrics"]["train/best_ndcg_at_10"] += 1e-9
        else:
            card["versions"]["tfrec"] = "0.0.1"
        (version / "model_card.json").write_text(json.dumps(card))
    assert current_version(copied) is None


def test_the_exported_version_of_a_job_is_known(copied):
    assert current_version(copied) == copied.export("two_tower") / "1"
    shutil.rmtree(copied.export("two_tower"))
    assert current_version(copied) is None


def test_results_go_where_the_scheduler_says(copied, command, tmp_path, monkeypatch):
    """Vertex AI names places for model, checkpoints and logs; the commands that come after find them by themselves."""
    for name in ("MODEL_DIR", "CHECKPOINT_DIR", "TENSORBOARD_LOG_DIR"):
        monkeypatch.setenv(f"AIP_{name}", str(tmp_path / name))
    (tmp_path / "MODEL_DIR" / "variables").mkdir(parents=True)
    for stale in ("saved_model.pb", "variables/stale", "mine.txt"):
        (tmp_path / "MODEL_DIR" / stale).write_text("of an earlier run")
    task.main(command(*QUICK, job="elsewhere"))
    job = JobDirectory(tmp_path / "elsewhere")
    assert sorted(path.name for path in job.path.iterdir()) == [
        "baselines.json",
        "config.yaml",
        "export",
        "metrics.json",
        "places.json",
        "predictions",
        "report.html",
        "vocabulary",
    ]
    assert (job.checkpoints, job.logs) == (tmp_path / "CHECKPOINT_DIR", tmp_path / "TENSORBOARD_LOG_DIR")
    assert (job.latest_checkpoints / "checkpoint").exists()
    assert list(job.logs.glob("events.out.tfevents.*"))
    version, copy = job.export("two_tower") / "1", tmp_path / "MODEL_DIR"
    files = {path.relative_to(version): path.read_bytes() for path in version.rglob("*") if path.is_file()}
    placed = {path.relative_to(copy): path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert placed.pop(Path("mine.txt")) == b"of an earlier run"
    assert placed == files
    expected = copied.read_metrics()
    for name in ("MODEL_DIR", "CHECKPOINT_DIR", "TENSORBOARD_LOG_DIR"):
        monkeypatch.delenv(f"AIP_{name}")
    evaluate.main(["--job-dir", str(job.path)])
    assert job.read_metrics()["test/ndcg_at_10"] == expected["test/ndcg_at_10"]
    with pytest.raises(ConfigError) as caught:
        task.main(command(*QUICK, job="elsewhere"))
    assert str(caught.value) == (
        f"--job-dir {job.path}: its checkpoints lie in {tmp_path / 'CHECKPOINT_DIR'}, AIP_CHECKPOINT_DIR is not set; "
        "set it to that, or name a new directory"
    )


@pytest.mark.parametrize("content", ["{", "[]", '{"checkpoint": "x"}'])
def test_damaged_places_are_one_clear_line(copied, content):
    (copied.path / "places.json").write_text(content)
    with pytest.raises(ArtifactError, match=r"places\.json: damaged"):
        evaluate.main(["--job-dir", str(copied.path)])


def test_an_export_goes_where_it_is_told(copied, tmp_path, capsys):
    export.main(["--job-dir", str(copied.path), "--output", str(tmp_path / "served")])
    assert capsys.readouterr().out.strip() == str(tmp_path / "served" / "1")


@pytest.mark.slow
def test_a_killed_job_goes_on_with_the_same_command(world, command, tmp_path):
    epochs = 5
    arguments = command("--set", f"train.epochs={epochs}", "--set", "train.batch_size=64", "--no-export")
    first = subprocess.Popen([sys.executable, "-m", "trainer.task", *arguments], stderr=subprocess.PIPE, text=True)
    for line in first.stderr:
        if line.startswith("epoch   1 "):
            break
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert first.returncode == -signal.SIGKILL
    second = subprocess.run(
        [sys.executable, "-m", "trainer.task", *arguments], capture_output=True, text=True, check=False
    )
    assert second.returncode == 0, second.stderr
    lines = second.stderr.splitlines()
    after = next(int(line.split()[3].rstrip(",")) for line in lines if line.startswith("resuming after epoch"))
    ran = [int(line.split()[1]) for line in lines if line.startswith("epoch ")]
    assert after >= 1
    assert ran == list(range(after + 1, epochs + 1))
    job = JobDirectory(tmp_path / "job")
    metrics = job.read_metrics()
    assert metrics["train/epochs"] == epochs
    scalars = {}
    for path in sorted(job.logs.glob("events.out.tfevents.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.tag == "validation/ndcg_at_10":
                    scalars[event.step] = float(tf.make_ndarray(value.tensor))
    per_epoch = -(-7608 // 64)
    assert set(scalars) >= {epoch * per_epoch for epoch in range(after + 1, epochs + 1)}
    assert metrics["train/best_ndcg_at_10"] >= max(scalars.values()) - 1e-6
    model, _, _ = load_model(job)
    assert model.inputs.num_items == 121
