"""`--train-files` and `--eval-files`: other rows of the same dataset, checked before anything is trained on them."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.chosen_records import dropping, rewrite, setting
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import read_part
from tfrec.errors import ArtifactError, ConfigError, DataError
from trainer import task
from trainer.config import load_job_config
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.request.files import KEYS, open_dataset

QUICK = ["--num-epochs", "1", "--batch-size", "2048", "--set", "model.embedding_dim=4", "--no-export"]


@pytest.fixture(scope="module")
def dataset(world):
    return world.dataset()


def own(dataset, part):
    return sorted(str(path.resolve()) for path in (dataset / part).iterdir())


def test_without_files_it_is_the_dataset_itself(dataset):
    assert open_dataset(str(dataset)).fingerprint == DatasetDirectory(dataset).fingerprint


def test_the_dataset_is_found_from_its_training_files(dataset):
    found = open_dataset("", [str(dataset / "train" / "*")])
    assert (found.path, found.files("train")) == (dataset.resolve(), own(dataset, "train"))
    assert found.rows("train") == DatasetDirectory(dataset).rows("train")
    assert found.files("validation") == DatasetDirectory(dataset).files("validation")


def test_chosen_files_stand_in_the_place_of_the_split(dataset, tmp_path):
    paths = [rewrite(dataset, "train", tmp_path / f"{n}.tfrecord", rows=n) for n in (30, 50)]
    held_out = rewrite(dataset, "test", tmp_path / "other" / "20.tfrecord", rows=20)
    found = open_dataset(str(dataset), [str(tmp_path / "*.tfrecord")], [held_out])
    assert (found.files("train"), found.rows("train")) == (paths, 80)
    whole, records = read_part(DatasetDirectory(dataset), "train"), read_part(found, "train")
    for name, values in whole.items():
        assert np.array_equal(records[name], np.concatenate([values[:30], values[:50]])), name
    assert found.rows("validation") == 20


@pytest.mark.parametrize("part", ["train", "eval"])
def test_files_of_the_test_split_do_not_choose_what_they_test(dataset, part):
    files = {"train": [], "eval": [], part: own(dataset, "test")}
    with pytest.raises(ConfigError, match=rf"--{part}-files .*: is of the test split, which must not choose what it"):
        open_dataset(str(dataset), files["train"], files["eval"])


def test_the_fingerprint_changes_with_a_byte_of_the_files_and_not_with_their_place(dataset, tmp_path):
    def fingerprint(name, change=lambda row, example: None):
        path = rewrite(dataset, "train", tmp_path / name / "a.tfrecord", change, rows=20)
        return open_dataset(str(dataset), [path]).fingerprint

    one = fingerprint("one")
    assert fingerprint("moved") == one
    assert fingerprint("changed", setting("label", 0.5, row=3)) != one
    assert open_dataset(str(dataset)).fingerprint != one
    assert open_dataset(str(dataset), own(dataset, "train")).fingerprint != one


@pytest.mark.parametrize("rows_per_record", [1, 16])
def test_rows_are_counted_however_many_share_a_record(world, tmp_path, rows_per_record):
    name = "planted" if rows_per_record == 1 else "packed"
    directory = world.dataset(name) if rows_per_record == 1 else _packed(world, name, rows_per_record)
    for part in ("train", "validation"):
        copied = shutil.copytree(directory / part, tmp_path / part)  # no longer the dataset's own: has to be counted
        found = open_dataset(str(directory), **{KEYS[part]: [str(copied / "*")]})
        assert found.rows_by_file(part) == DatasetDirectory(directory).rows_by_file(part)


def _packed(world, name, rows_per_record):
    from tests.trainer.planted_world import DATASET_YAML
    from tfrec.config_file import parse_config
    from transforms.dataset import write_dataset
    from transforms.dataset_config import DatasetConfig

    directory = world.root / "datasets" / name
    if not directory.exists():
        config = parse_config(f"{DATASET_YAML}\nrows_per_record: {rows_per_record}\n", DatasetConfig)
        write_dataset(config, str(world.logs), str(directory))
    return directory


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train_files": ["{tmp}/none-*"]}, "--train-files {tmp}/none-*: matches no file"),
        ({"eval_files": ["{tmp}"]}, "--eval-files {tmp}: matches no file"),
        (
            {"train_files": ["{own}"], "eval_files": ["{own}"]},
            "{own}: stands in --train-files and in --eval-files; rows are for one of them",
        ),
        (
            {"train_files": ["{plain}", "{own}"]},
            "--train-files: some files are compressed (.gz) and some are not; name files of one kind",
        ),
    ],
)
def test_files_that_cannot_be_meant_are_refused(dataset, tmp_path, files, message):
    names = {"tmp": tmp_path, "own": own(dataset, "train")[0]}
    names["plain"] = rewrite(dataset, "train", tmp_path / "plain.tfrecord", rows=3)
    chosen = {key: [pattern.format(**names) for pattern in patterns] for key, patterns in files.items()}
    with pytest.raises(ConfigError) as caught:
        open_dataset(str(dataset), **chosen)
    assert str(caught.value) == message.format(**names)


def test_files_that_lie_in_no_dataset_need_its_name(dataset, tmp_path):
    path = rewrite(dataset, "train", tmp_path / "a.tfrecord", rows=3)
    with pytest.raises(ConfigError) as caught:
        open_dataset("", [path])
    assert str(caught.value) == (
        f"--train-files: are not of one dataset ({tmp_path.parent} has no manifest.json); name theirs with --dataset"
    )


def test_records_without_a_column_of_the_schema_are_refused(dataset, tmp_path):
    path = rewrite(dataset, "train", tmp_path / "a.tfrecord", dropping("history"), rows=3)
    with pytest.raises(DataError) as caught:
        open_dataset(str(dataset), [path])
    assert str(caught.value) == (
        f"{path}: its records have no column 'history', which the schema of {dataset} has (there: age, age_in_years, "
        "country, country_hash, event_position, event_time_ms, genres, item_id, item_index, label, user_id, "
        "user_index); write them with the same dataset.yaml"
    )


def test_a_column_of_another_type_is_refused(dataset, tmp_path):
    def as_words(row, example):
        example.features.feature["age"].bytes_list.value[:] = [b"33"]

    path = rewrite(dataset, "train", tmp_path / "a.tfrecord", as_words, rows=3)
    with pytest.raises(DataError) as caught:
        open_dataset(str(dataset), [path])
    assert str(caught.value) == (
        f"{path}: column 'age' is a bytes_list, the schema of {dataset} says int64_list; write it with the same "
        "dataset.yaml"
    )


@pytest.mark.parametrize("content", [b"", b"user,item\n1,2\n" * 9])
def test_a_file_that_holds_no_records_is_refused(dataset, tmp_path, content):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(content)
    what = "not a TFRecord file" if content else "holds no records; leave it out"
    with pytest.raises(DataError, match=f"{path}: {what}"):
        open_dataset(str(dataset), [str(path)])


def test_files_of_a_dataset_with_other_ids_are_refused(world, dataset):
    other = world.dataset("fewer_items", "features.item_id.max_size=50")
    with pytest.raises(ArtifactError) as caught:
        open_dataset(str(dataset), own(other, "train"))
    assert str(caught.value) == (
        f"--train-files: {other} has another schema than {dataset}; train on files of one dataset"
    )


@pytest.fixture
def command(dataset, tmp_path):
    def make(*more):
        return ["--model", "two_tower", "--job-dir", str(tmp_path / "job"), *QUICK, *more]

    return make


def test_a_job_remembers_its_files_and_trains_on_nothing_else(dataset, tmp_path, command, capsys):
    path = rewrite(dataset, "train", tmp_path / "some.tfrecord", rows=2048)
    task.main(command("--dataset", str(dataset), "--train-files", path))
    job = JobDirectory(tmp_path / "job")
    config = load_job_config(job.config)
    assert (config.train_files, config.eval_files) == ((path,), ())
    _, data, _ = load_model(job)
    assert len(data.train["label"]) == 2048
    with pytest.raises(ConfigError) as caught:
        task.main(command("--dataset", str(dataset)))
    assert str(caught.value) == (
        f"--job-dir {job.path}: was trained on other --train-files or --eval-files; name a new directory"
    )
    tf.io.gfile.remove(path)
    with pytest.raises(ArtifactError, match=f"a file that the job was trained on is gone .*{path}: matches no file"):
        load_model(job)


@pytest.mark.parametrize(
    ("model", "flag", "change", "message"),
    [
        (
            "deepfm",
            "--train-files",
            setting("label", 3.0, row=7),
            "train: row 7 has the label 3; allowed: 0 and 1 (it has a threshold or a list of values); write the "
            "records with python -m transforms.run",
        ),
        (
            "two_tower",
            "--eval-files",
            setting("user_index", 301, row=0),
            "validation: row 0 has user_index 301; allowed: 0 to 300; are the records of another dataset? write them "
            "with the same vocabularies",
        ),
        (
            "deepfm",
            "--train-files",
            setting("country", -1, row=5),
            "train: row 5 has country -1; allowed: 0 to 7; are the records of another dataset? write them with the "
            "same vocabularies",
        ),
    ],
)
@pytest.mark.parametrize("how", [[], ["--dry-run"]])
def test_values_outside_their_range_end_the_run_before_its_first_step(
    dataset, tmp_path, command, how, model, flag, change, message
):
    part = "train" if flag == "--train-files" else "validation"
    path = rewrite(dataset, part, tmp_path / "a.tfrecord", change, rows=50)
    with pytest.raises(DataError) as caught:
        task.main(command("--dataset", str(dataset), "--model", model, flag, path, *how))
    assert str(caught.value) == f"{dataset.resolve()}/{message}"
    assert not (tmp_path / "job" / "checkpoints").exists()


def test_a_dataset_that_has_moved_with_its_files_is_another_place_not_another_job(dataset, tmp_path, command):
    moved = shutil.copytree(dataset, tmp_path / "moved")
    first = ["--dataset", str(dataset), "--train-files", *own(dataset, "train")]
    second = ["--dataset", str(moved), "--train-files", *own(moved, "train")]
    assert open_dataset(first[1], first[3:]).fingerprint == open_dataset(second[1], second[3:]).fingerprint
