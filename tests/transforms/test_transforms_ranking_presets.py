"""The presets of ranking logs without users and items, on the files as they are published, by counting their lines."""

from collections import Counter

import numpy as np

from tests.transforms.published_files import needs
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import read_part
from tfrec.schema import SPLITS
from transforms.dataset import write_dataset
from transforms.dataset_config import load_dataset_config


def records_of(preset, directory, output):
    write_dataset(load_dataset_config(preset), str(directory), str(output), [])
    dataset = DatasetDirectory(output)
    return dataset, {split: read_part(dataset, split) for split in SPLITS}


def test_census_income_has_a_validation_split_cut_from_its_training_file(tmp_path):
    train, test = needs("census-income/adult.data", "census-income/adult.test")
    dataset, records = records_of("census-income", train.parent, tmp_path / "out")
    assert dataset.manifest["rejected"] == 0
    assert dataset.rows("train") + dataset.rows("validation") == 32_561
    assert abs(dataset.rows("validation") - 3_256) < 200
    assert dataset.rows("test") == 16_281
    positives = {split: int(records[split]["label"].sum()) for split in SPLITS}
    assert (positives["train"] + positives["validation"], positives["test"]) == (7_841, 3_846)
    header, *rows = [line.split(", ") for line in test.read_text().splitlines()]
    lines = [dict(zip(header, row, strict=True)) for row in rows]
    # Row by row is checked in test_transforms_given_splits; here that every column is read, and as what.
    words = (tmp_path / "out" / "vocabulary" / "education.txt").read_text().split()
    found = Counter(["", "", *words][i] for i in records["test"]["education"].tolist())
    assert found == Counter(line["education"] for line in lines)
    gains = records["test"]["capital_gain_bucket"]
    assert (gains == 1).sum() >= sum(line["capital-gain"] == "0" for line in lines)
    assert len(np.unique(gains)) > 3
    for name in dataset.schema.encoded:
        assert len(np.unique(records["test"][name])) > 1, name
    assert set(dataset.schema.crosses) == {
        "education_x_occupation",
        "country_x_occupation",
        "age_x_education_x_occupation",
    }


def test_criteo_reads_13_numbers_and_26_tokens(tmp_path):
    [train] = needs("criteo-sample/criteo_train.csv")
    dataset, records = records_of("criteo", train.parent, tmp_path / "out")
    lines = [line.split("\t") for line in train.read_text().splitlines()]
    assert dataset.manifest["rejected"] == 0
    assert sum(dataset.rows(split) for split in SPLITS) == len(lines) == 7_200
    assert sum(int(records[split]["label"].sum()) for split in SPLITS) == sum(line[0] == "1" for line in lines)
    names = {*(f"I{n}" for n in range(1, 14)), *(f"C{n}" for n in range(1, 27))}
    assert set(dataset.schema.encoded) == names
    for number in range(1, 27):
        missing = sum(int((records[split][f"C{number}"] == 0).sum()) for split in SPLITS)
        assert missing == sum(line[13 + number] == "" for line in lines)
        rare = Counter(line[13 + number] for line in lines if line[13 + number])
        kept = (tmp_path / "out" / "vocabulary" / f"C{number}.txt").read_text().split()
        if number not in (7, 14):
            assert all(rare[token] >= 10 for token in kept)
