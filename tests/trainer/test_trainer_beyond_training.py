"""Numbers that training does not have, against plain comparisons of raw values, and where they are said."""

import csv
import io

import numpy as np
import pytest
from rich.console import Console

from tfrec.config_file import parse_config
from tfrec.dataset.directory import DatasetDirectory
from trainer.checks.beyond_training import beyond_training
from trainer.config import resolve_config
from trainer.data import JobData
from trainer.job import JobDirectory
from trainer.report.write import write_report
from trainer.run import run_job

DATASET_YAML = """
name: clocks
events: {files: events.csv}
features:
  user_id: {role: user, kind: categorical, id: true}
  item_id: {role: item, kind: categorical, id: true}
  day: {role: context, kind: numeric}
  day_log: {role: context, kind: numeric, column: day, log: true}
  day_as_it_is: {role: context, kind: numeric, column: day, standardize: false}
  day_in_buckets: {role: context, kind: numeric, column: day, buckets: 5}
  price: {role: context, kind: numeric}
  version: {role: context, kind: numeric}
label: {column: clicked}
timestamp: {column: time, unit: s}
split: {strategy: temporal, validation: 0.2, test: 0.2}
"""
ROWS, DAY = 300, 86_400


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Days go on, prices return, and the version changes once, after training."""
    from transforms.dataset import write_dataset
    from transforms.dataset_config import DatasetConfig

    root = tmp_path_factory.mktemp("clocks")
    (root / "logs").mkdir()
    random = np.random.default_rng(3)
    with (root / "logs" / "events.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "item_id", "day", "price", "version", "clicked", "time"])
        for row in range(ROWS):
            version = 1 + (row >= 0.7 * ROWS)
            price, clicked = random.integers(1, 20), random.integers(0, 2)
            writer.writerow(
                [f"u{row % 20}", f"i{random.integers(0, 15)}", row // 3, price, version, clicked, row * DAY]
            )
    write_dataset(parse_config(DATASET_YAML, DatasetConfig, ()), str(root / "logs"), str(root / "dataset"))
    return DatasetDirectory(root / "dataset")


def test_days_and_versions_lie_outside_and_prices_and_buckets_do_not(dataset):
    found = {one.feature: one for one in beyond_training(JobData(dataset), dataset.schema.features)}
    assert set(found) == {"day", "day_log", "day_as_it_is", "version"}
    for name in ("day", "day_log", "day_as_it_is"):
        assert (found[name].low, found[name].high) == (0, 59)  # 180 of 300 rows are training
        assert found[name].split == "test"
        assert found[name].share == 1
    assert str(found["version"]).startswith(
        "version: 100% of the test rows lie outside of its range in training (training has 1 alone); a net can't"
    )


def test_only_what_a_model_reads_is_looked_at(dataset):
    data = JobData(dataset)
    assert beyond_training(data, ["price", "user_id", "day_in_buckets"]) == []
    assert [one.feature for one in beyond_training(data, ["version", "price"])] == ["version"]
    of_validation = beyond_training(data, ["day", "version"], ["validation"])
    # The version changes in the middle of validation.
    assert {one.feature: round(one.share, 2) for one in of_validation} == {"day": 1.0, "version": 0.5}


def test_the_trainer_warns_and_the_report_says_it(dataset, tmp_path):
    heard = io.StringIO()
    overrides = ("train.epochs=1", "model.features=[user_id, item_id, day, price]", "model.hidden_units=[4]")
    identity = {"dataset": str(dataset.path), "dataset_fingerprint": dataset.fingerprint, "seed": 1}
    job = JobDirectory(tmp_path / "job")
    run_job(resolve_config("deepfm", None, overrides, **identity), job, Console(file=heard, width=1000))
    said = [line for line in heard.getvalue().splitlines() if line.startswith("warning: ")]
    assert [line.split(":")[1].strip() for line in said] == ["day"]
    page = write_report(job).read_text(encoding="utf-8")
    assert "day: 100% of the test rows lie outside of its range in training (training ends at 0 and 59)" in page
    assert "version: 100%" in page  # what the dataset has, whether the model reads it or not
    assert "price: " not in page
