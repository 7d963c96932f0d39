"""`--dry-run` and what every run checks first: that a job can run, and that it fits, before anything is allocated."""

import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest
from rich.console import Console

from tests.trainer.planted_world import quiet_console
from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ArtifactError, ConfigError, DataError
from tfrec.models.learning import GradientModel
from tfrec.models.registry import model_class, model_names
from trainer import task
from trainer.checks.dry_run import dry_run
from trainer.checks.memory import Device, machine, memory_need, require_fit, smallest_gpu
from trainer.cluster.placement import Placement
from trainer.cluster.tf_config import read_cluster
from trainer.job import JobDirectory
from trainer.model import build_model
from trainer.run import run_job

TRAINED = [name for name in model_names() if issubclass(model_class(name), GradientModel)]


@pytest.fixture(scope="module")
def dataset(world):
    return world.dataset()


@pytest.fixture
def altered(dataset, tmp_path):
    """A copy of the dataset with one of its JSON files changed."""

    def make(name, change):
        directory = shutil.copytree(dataset, tmp_path / "altered")
        content = json.loads((directory / name).read_text())
        change(content)
        (directory / name).write_text(json.dumps(content))
        return directory

    return make


def command(dataset, tmp_path, *more, model="deepfm"):
    return ["--dataset", str(dataset), "--model", model, "--job-dir", str(tmp_path / "job"), *more]


@pytest.mark.parametrize("model", ["deepfm", "popularity"])
def test_a_dry_run_tells_what_it_found_and_leaves_nothing_behind(dataset, tmp_path, capsys, model):
    task.main(command(dataset, tmp_path, "--dry-run", "--json", model=model))
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["rows"] == {"train": 7608, "validation": 300, "test": 300}
    if model == "deepfm":
        assert [math.isfinite(step["loss"]) for step in found["steps"]] == [True, True]
        assert found["steps"][0]["loss"] != found["steps"][1]["loss"]
        assert found["batch"]["label"] == "float32 [1024]"
        assert found["batch"]["genres"] == "int64 [1024, 4]"
        assert f"step 2: loss {found['steps'][1]['loss']:.4f}, " in err
    else:
        assert (found["steps"], found["memory"]["tables"]) == ([], [])
        assert "0 bytes" not in err
        assert "activations" not in err
        assert "popularity is solved in one go" in err
    assert "train 7,608 · validation 300 · test 300" in err
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_a_solved_model_says_what_solving_takes(dataset, tmp_path, capsys):
    task.main(command(dataset, tmp_path, "--dry-run", model="ease"))
    err = capsys.readouterr().err
    items = DatasetDirectory(dataset).rows("items")
    sizes = [8 * items**2, 4 * items**2]  # the matrix that is solved, and the weights
    for name, size in zip(("item_by_item", "weights"), sizes, strict=True):
        assert re.search(rf"{name} .*{size / 1000:.1f} kB", err)
    assert f"tables {sum(sizes) / 1000:.1f} kB + data " in err
    for word in ("0 bytes", "activations", "optimiser │", "average"):
        assert word not in err


def test_a_dry_run_in_the_directory_of_a_job_changes_nothing_there(world, tmp_path):
    overrides = ("train.epochs=1", "train.batch_size=4096", "model.embedding_dim=4")
    job = JobDirectory(tmp_path / "job")
    run_job(world.config("two_tower", *overrides), job, quiet_console())
    before = sorted((str(path), path.stat().st_mtime_ns) for path in job.path.rglob("*"))
    dry_run(world.config("two_tower", *overrides), job, quiet_console())
    with pytest.raises(ConfigError, match=r"holds another job \(seed \d+ there, \d+ here\)"):
        dry_run(world.config("two_tower", *overrides, seed=2), job, quiet_console())
    assert sorted((str(path), path.stat().st_mtime_ns) for path in job.path.rglob("*")) == before


def test_the_first_step_of_a_dry_run_is_the_first_step_of_training(world, tmp_path):
    """One batch holds all rows, so the loss of the first epoch is that of its only step."""
    config = world.config("two_tower", "train.batch_size=8000", "train.epochs=1", "model.embedding_dim=4")
    dry = dry_run(config, JobDirectory(tmp_path / "dry"), quiet_console())
    console = Console(file=io.StringIO(), width=200)
    run_job(config, JobDirectory(tmp_path / "real"), console)
    assert f"loss {dry['steps'][0]['loss']:.4f} " in console.file.getvalue()


def test_a_dry_run_refuses_a_metric_that_does_not_exist(world, tmp_path):
    config = world.config("deepfm", "train.monitor=ndcg_at_10", "model.embedding_dim=4")
    with pytest.raises(ConfigError, match=r"^train\.monitor: no metric 'ndcg_at_10'; allowed: auc, log_loss$"):
        dry_run(config, JobDirectory(tmp_path / "job"), quiet_console())


def test_a_dry_run_starts_warm_or_says_why_it_cannot(world, dataset, tmp_path, capsys):
    job = JobDirectory(tmp_path / "earlier")
    run_job(
        world.config("deepfm", "train.epochs=1", "train.batch_size=4096", "model.embedding_dim=4"), job, quiet_console()
    )
    more = ["--dry-run", "--set", "model.embedding_dim=4", "--warm-start-from", str(job.path)]
    task.main(command(dataset, tmp_path, *more))
    assert f"warm start from {job.path}" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="is a job of the model deepfm, this one of wide_deep"):
        task.main(command(dataset, tmp_path, *more, model="wide_deep"))
    shutil.rmtree(job.best_checkpoint)
    with pytest.raises(ArtifactError, match="no finished epoch"):
        task.main(command(dataset, tmp_path, *more))
    assert not (tmp_path / "job").exists()


def test_a_dry_run_divides_the_tables_over_the_servers_of_the_job(world, tmp_path, monkeypatch):
    """Two thirds of the tables have room: too little for one process, enough for each of two servers."""
    config = world.config("deepfm", "train.input=stream", "train.batch_size=1", "model.embedding_dim=64")
    need = memory_need(config, world.data().dataset)
    device = Device("host", need.total_bytes - need.table_bytes // 3)
    monkeypatch.setattr("trainer.checks.preflight.machine", lambda: device)
    tasks = {"chief": ["a:1"], "worker": ["b:1"], "ps": ["c:1", "d:1"]}
    cluster = read_cluster({"TF_CONFIG": json.dumps({"cluster": tasks, "task": {"type": "chief", "index": 0}})})
    dry_run(config, JobDirectory(tmp_path), quiet_console(), Placement("parameter-server", cluster=cluster))
    with pytest.raises(ConfigError, match="deepfm needs about"):
        dry_run(config, JobDirectory(tmp_path), quiet_console())


@pytest.mark.parametrize("model", [name for name in TRAINED if name != "youtube_ranking"])  # no watch time here
@pytest.mark.parametrize("options", [(), ("train.average_decay=0.9", "model.embedding_dim=8")])
def test_tables_are_counted_as_the_built_model_has_them(world, model, options):
    if "embedding_dim" not in model_class(model).Config.model_fields:
        options = options[:1]
    config, data = world.config(model, *options), world.data()
    need = memory_need(config, data.dataset)
    built, inputs = build_model(config, data), data.model_inputs
    # Rows that belong to features, and what is derived from them for every item; a network's kernels do not grow.
    of_networks = ("kernel", "gates")
    expected = {
        id(table.variable): table.variable
        for table in built.id_tables()
        if not any(part in table.variable.name for part in of_networks)
    }
    of_items = (inputs.num_items, inputs.num_ids[data.schema.item_id])
    expected |= {id(v): v for v in built.state if v.shape.rank == 2 and v.shape[0] in of_items}
    assert expected
    shapes = Counter((*variable.shape, variable.trainable) for variable in expected.values())
    assert Counter((table.rows, table.width, table.optimizer_bytes > 0) for table in need.tables) == shapes
    for table in need.tables:
        assert table.table_bytes == 4 * table.rows * table.width


@pytest.mark.parametrize(("optimizer", "slots"), [("adam", 2), ("adagrad", 1), ("ftrl", 2), ("sgd", 0)])
@pytest.mark.parametrize("decay", ["null", "0.9"])
def test_bytes_of_a_table_by_hand(world, dataset, optimizer, slots, decay):
    overrides = (f"train.optimizer={optimizer}", f"train.average_decay={decay}", "model.embedding_dim=16")
    need = memory_need(world.config("two_tower", *overrides), DatasetDirectory(dataset))
    users = next(table for table in need.tables if table.name == "users")
    rows = len((dataset / "vocabulary" / "user_id.txt").read_text().splitlines()) + 2  # padding, out of vocabulary
    assert (users.rows, users.width, users.table_bytes) == (rows, 16, rows * 16 * 4)
    assert users.optimizer_bytes == slots * rows * 16 * 4
    assert users.average_bytes == (0 if decay == "null" else rows * 16 * 4 + rows * 8)


def test_data_in_memory_is_counted_as_it_stands_there(world):
    config, data = world.config("deepfm"), world.data()
    splits = [data.split(name) for name in ("train", "validation", "test")]
    expected = sum(column.nbytes for split in splits for column in split.values())
    assert memory_need(config, data.dataset).data_bytes == expected
    streamed = memory_need(world.config("deepfm", "train.input=stream"), data.dataset).data_bytes
    assert streamed == expected - sum(column.nbytes for column in splits[0].values())


def test_the_machine_has_some_memory_free_and_no_more_than_there_is():
    assert 0 < machine().free_bytes <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_the_gpu_with_least_memory_counts(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '0, 15000\\n1, 900\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert smallest_gpu() == Device("GPU 1", 900 << 20)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert smallest_gpu() is None


def test_a_job_fits_where_there_is_just_enough(world):
    config = world.config("two_tower")
    need = memory_need(config, world.data().dataset)
    host, gpu = Device("host", need.total_bytes), Device("GPU 0", need.table_bytes + need.activation_bytes)
    require_fit(config, need, host)
    require_fit(config, need, Device("host", need.data_bytes), gpu)
    require_fit(config, need, Device("host", need.total_bytes - need.table_bytes // 2), table_shards=2)
    for wrong in (
        (Device("host", need.total_bytes - 1), None),
        (Device("host", need.data_bytes - 1), gpu),
        (host, Device("GPU 0", gpu.free_bytes - 1)),
    ):
        with pytest.raises(ConfigError, match=r"two_tower needs about .* on (host|GPU 0), which has"):
            require_fit(config, need, *wrong)


@pytest.mark.parametrize(
    ("device", "overrides", "message"),
    [
        (
            Device("this machine", 10**9),
            ("model.embedding_dim=1000000", "train.batch_size=1"),
            "two_tower needs about 7.6 GB on this machine, which has 1.0 GB free: tables with what the optimiser keeps "
            "take 7.3 GB (most ids: user_id 302, item_id 122, history 122); lower model.embedding_dim, choose "
            "train.optimizer=adagrad or sgd, or give such a feature a max_size or hash_buckets in dataset.yaml",
        ),
        (
            Device("this machine", 10**6),
            ("model.embedding_dim=4", "train.batch_size=2000"),
            "two_tower needs about 8.0 MB on this machine, which has 1.0 MB free: a batch of 2,000 rows takes 5.8 MB; "
            "lower train.batch_size or the widths of the model (model.embedding_dim, model.hidden_units)",
        ),
        (
            Device("this machine", 10**6),
            ("model.embedding_dim=4", "train.batch_size=64"),
            "two_tower needs about 2.4 MB on this machine, which has 1.0 MB free: the data alone takes 2.2 MB; set "
            "train.input=stream",
        ),
    ],
)
def test_what_does_not_fit_says_what_takes_the_room(world, device, overrides, message):
    config = world.config("two_tower", *overrides)
    with pytest.raises(ConfigError) as caught:
        require_fit(config, memory_need(config, world.data().dataset), device)
    assert str(caught.value) == message


@pytest.mark.parametrize("how", [[], ["--dry-run"]])
def test_a_config_that_cannot_fit_is_refused_before_anything_is_made(dataset, tmp_path, how):
    with pytest.raises(ConfigError, match=r"deepfm needs about 6\.\d TB on this machine, which has .* free: tables"):
        task.main(command(dataset, tmp_path, "--set", "model.embedding_dim=1000000000", "--batch-size", "1", *how))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", [[], ["--dry-run"]])
def test_a_vocabulary_larger_than_memory_is_refused(altered, tmp_path, how):
    def grow(statistics):
        statistics["features"]["user_id"]["vocabulary_size"] = 10**12

    directory = altered("statistics.json", grow)
    with pytest.raises(
        ConfigError, match=r"needs about .* TB .*\(most ids: user_id 1,000,000,000,002, item_id 122, hist"
    ):
        task.main(command(directory, tmp_path, *how))
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize(
    ("part", "error", "message"),
    [
        ("train", DataError, "the training split is empty; lower the shares of the other splits"),
        (
            "validation",
            ConfigError,
            "the validation split is empty, so no epoch can be chosen; give split.validation a share, name "
            "--eval-files, or keep the last epoch with --set train.monitor=steps",
        ),
    ],
)
@pytest.mark.parametrize("how", [[], ["--dry-run"]])
def test_an_empty_split_is_refused_before_a_record_is_read(altered, tmp_path, part, error, message, how):
    def empty(manifest):
        manifest["files"][part] = []

    directory = altered("manifest.json", empty)
    with pytest.raises(error) as caught:
        task.main(command(directory, tmp_path, *how))
    assert str(caught.value) == f"{directory}: {message}"
    assert not (tmp_path / "job").exists()


def test_a_vocabulary_of_another_length_than_it_was_counted_is_refused(altered, tmp_path):
    directory = altered("statistics.json", lambda statistics: None)
    path = directory / "vocabulary" / "genres.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    with pytest.raises(ArtifactError) as caught:
        task.main(command(directory, tmp_path, "--dry-run"))
    assert str(caught.value) == (
        f"{path}: has 6 tokens, {directory}/statistics.json says 8; copy the dataset again or rerun the transforms"
    )


def test_a_loss_that_is_not_finite_is_told_by_two_steps(dataset, tmp_path):
    wild = ["--dry-run", "--set", "train.optimizer=sgd", "--learning-rate", "1e38"]
    with pytest.raises(DataError, match=r"the loss is (nan|inf) in step 2; lower train.learning_rate"):
        task.main(command(dataset, tmp_path, *wild))


def test_a_dry_run_prints_for_people_on_stderr_and_exits_with_0(dataset, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "trainer.task", *command(dataset, tmp_path, "--dry-run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "optimiser" in done.stderr
    assert done.stderr.splitlines()[-1] == f"nothing was written to {tmp_path / 'job'}"
