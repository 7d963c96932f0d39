"""The flags of `python -m trainer.task` and the environment around them: what they mean, and what they refuse."""

from dataclasses import replace

import pytest

from tfrec.errors import ConfigError
from trainer import tune
from trainer.request.environment import Places, local_path, places_of
from trainer.request.flags import TaskRequest, task_request
from trainer.request.foreign_flags import INSTEAD

NEEDED = ["--dataset", "D", "--model", "deepfm", "--job-dir", "J"]
PLAIN = TaskRequest(dataset="D", model="deepfm", job_dir="J")


def request(*more, environment=None):
    return task_request([*NEEDED, *more], environment or {})


def test_without_further_flags_everything_has_its_default():
    assert request() == PLAIN


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--num-epochs", "3"], {"overrides": ("train.epochs=3",)}),
        (["--num_epochs=3"], {"overrides": ("train.epochs=3",)}),
        (["--epochs", "3"], {"overrides": ("train.epochs=3",)}),
        (["--train-steps", "100"], {"overrides": ("train.steps=100",)}),
        (["--max-steps", "100"], {"overrides": ("train.steps=100",)}),
        (["--batch-size", "64"], {"overrides": ("train.batch_size=64",)}),
        (["--train_batch_size", "64"], {"overrides": ("train.batch_size=64",)}),
        (["--learning-rate", "1e-3"], {"overrides": ("train.learning_rate=0.001",)}),
        (["--lr", "0.5"], {"overrides": ("train.learning_rate=0.5",)}),
        (["--set", "a.b=1", "--num-epochs", "3"], {"overrides": ("a.b=1", "train.epochs=3")}),
        (["--seed", "7", "--config", "f.yaml"], {"seed": 7, "config_file": "f.yaml"}),
        (["--train-files", "a", "b", "--eval_files=c"], {"train_files": ("a", "b"), "eval_files": ("c",)}),
        (["--train-files", "a,b", "--train-files", "c"], {"train_files": ("a", "b", "c")}),
        (["--strategy", "parameter_server"], {"strategy": "parameter-server"}),
        (["--cluster-timeout", "9"], {"cluster_timeout_seconds": 9}),
        (["--warm-start-from", "OLD"], {"warm_start_from": ("OLD",)}),
        (["--warm-start-from", "A", "--warm-start-from", "B"], {"warm_start_from": ("A", "B")}),
        (["--profile", "10:20"], {"profile": (10, 20)}),
        (["--dry-run"], {"is_dry_run": True}),
        (["--no-export", "--json"], {"must_export": False, "wants_json": True}),
    ],
)
def test_a_flag_changes_what_it_names_and_nothing_else(more, expected):
    assert request(*more) == replace(PLAIN, **expected)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--job_dirr=x"], "unknown flag '--job_dirr'; did you mean '--job-dir'?"),
        (["--train-file", "x"], "unknown flag '--train-file'; did you mean '--train-files'?"),
        (["--num-epochs", "0"], "argument --num-epochs/--epochs: got '0'; allowed: whole numbers from 1"),
        (["--train-steps", "many"], "argument --train-steps/--max-steps: got 'many'; allowed: whole numbers from 1"),
        (["--learning-rate", "0"], "argument --learning-rate/--lr: got '0'; allowed: numbers above 0"),
        (["--learning-rate", "nan"], "argument --learning-rate/--lr: got 'nan'; allowed: numbers above 0"),
        (["--strategy", "miror"], "argument --strategy: got 'miror'; did you mean 'mirrored'?"),
        (
            ["--strategy", "tpu"],
            "argument --strategy: got 'tpu'; allowed: mirrored, multi-worker, one, parameter-server",
        ),
        (
            ["--profile", "20:10"],
            "argument --profile: got '20:10'; allowed: two steps A:B, counted from 1, such as 100:110",
        ),
        (["--profile", "5"], "argument --profile: got '5'; allowed: two steps A:B, counted from 1, such as 100:110"),
        (
            ["--eval-steps", "10"],
            "--eval-steps: has no meaning here; metrics are always of the whole validation split; leave it out",
        ),
        (
            ["--first_layer_size=10"],
            "--first_layer_size: has no meaning here; use --set model.hidden_units=[256,128]",
        ),
        (
            ["--num-epochs", "2", "--epochs", "3"],
            "--epochs 3 and --num-epochs or --epochs 2 disagree; keep one",
        ),
        (
            ["--num-epochs", "3", "--set", "train.epochs=4"],
            "--num-epochs 3 and --set train.epochs=4 disagree; keep one of them",
        ),
        (
            ["--batch-size", "3", "--set", "train={epochs: 3, batch_size: 4}"],
            "--batch-size 3 and --set train.batch_size=4 disagree; keep one of them",
        ),
    ],
)
def test_a_mistake_is_one_line_with_the_way_out(more, message):
    with pytest.raises(ConfigError) as caught:
        request(*more)
    assert str(caught.value) == message


@pytest.mark.parametrize("same", ["train.learning_rate=1e-3", "train={learning_rate: 0.001}", "train.epochs=5"])
def test_a_flag_and_set_may_say_the_same(same):
    assert request("--learning-rate", "0.001", "--set", same).overrides == (same, "train.learning_rate=0.001")


def test_a_dataset_or_training_files_are_needed():
    with pytest.raises(ConfigError) as caught:
        task_request(["--model", "deepfm", "--job-dir", "J"], {})
    assert str(caught.value) == "the following arguments are required: --dataset (or --train-files of a dataset)"
    assert task_request(["--model", "m", "--job-dir", "J", "--train-files", "x"], {}).dataset == ""


@pytest.mark.parametrize("flag", INSTEAD)
def test_no_flag_is_both_known_and_refused(flag):
    with pytest.raises(ConfigError, match=f"^{flag}: has no meaning here; "):
        request(flag, "1")
    with pytest.raises(ConfigError, match=f"^{flag}: has no meaning here; "):
        tune.main([flag, "1"])


def test_a_scheduler_says_where_results_go(tmp_path):
    (tmp_path / "bucket").mkdir()
    environment = {
        "AIP_MODEL_DIR": "gs://bucket/out/model/",
        "AIP_CHECKPOINT_DIR": "/disk/checkpoints",
        "AIP_TENSORBOARD_LOG_DIR": "",
        "AIP_DATA_FORMAT": "csv",
    }
    found = places_of(environment, mount=tmp_path)
    assert (str(found.model), str(found.checkpoints)) == (f"{tmp_path}/bucket/out/model", "/disk/checkpoints")
    assert found.logs is None
    assert places_of({}) == Places()
    assert str(request(environment={"AIP_TENSORBOARD_LOG_DIR": "/logs"}).places.logs) == "/logs"


@pytest.mark.parametrize("path", ["gs://other/x", "gs://", "gs:///x"])
def test_a_bucket_that_is_not_mounted_is_named(tmp_path, path):
    (tmp_path / "bucket").mkdir()
    with pytest.raises(ConfigError) as caught:
        local_path("--dataset", path, mount=tmp_path)
    bucket = tmp_path / path.removeprefix("gs://").partition("/")[0]
    assert str(caught.value) == (
        f"--dataset {path}: the bucket is not mounted at {bucket}; mount it there (Vertex AI does, elsewhere: "
        "gcsfuse), or name a local path"
    )


@pytest.mark.parametrize("flag", ["--dataset", "--job-dir", "--train-files", "--eval-files", "--warm-start-from"])
def test_every_path_may_lie_in_a_bucket(flag):
    with pytest.raises(ConfigError, match=rf"^{flag} gs://no-such-bucket/x: the bucket is not mounted at /gcs/no-such"):
        request(flag, "gs://no-such-bucket/x")
