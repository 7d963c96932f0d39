"""Published data sets, where they are: $TFREC_DATA, or ../shared/data beside the checkout."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.transforms.published_files import needs
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import read_part
from tfrec.schema import SPLITS
from transforms.dataset import write_dataset
from transforms.dataset_config import load_dataset_config


def records_of(preset, directory, output, *overrides):
    write_dataset(load_dataset_config(preset, overrides), str(directory), str(output), [])
    dataset = DatasetDirectory(output)
    return dataset, {split: read_part(dataset, split) for split in SPLITS}


@pytest.mark.slow
def test_movielens_100k_has_its_published_counts(tmp_path):
    [data, _, _] = needs("ml-100k/u.data", "ml-100k/u.user", "ml-100k/u.item")
    dataset, records = records_of("ml-100k", data.parent, tmp_path / "out")
    assert dataset.manifest["rejected"] == 0
    assert {part: dataset.rows(part) for part in (*SPLITS, "users", "items")} == {
        "train": 100_000 - 2 * 943,
        "validation": 943,
        "test": 943,
        "users": 943,
        "items": 1682,
    }
    labels = np.concatenate([records[split]["label"] for split in SPLITS])
    assert labels.mean(dtype=np.float64) == pytest.approx(0.55375, abs=1e-12)
    items = read_part(dataset, "items")
    titles = dict(zip(items["raw/item_id"].tolist(), items["raw/title"].tolist(), strict=True))
    assert titles[b"1"] == b"Toy Story (1995)"
    assert titles[b"543"].decode() == "Misérables, Les (1995)"
    # The last event of user 196 by time, then by line.
    rows = [line.split("\t") for line in data.read_text().splitlines()]
    mine = sorted((int(row[3]), at, row[1]) for at, row in enumerate(rows) if row[0] == "196")
    user = read_part(dataset, "users")["raw/user_id"].tolist().index(b"196")
    [at] = np.flatnonzero(records["test"]["user_index"] == user)
    assert items["raw/item_id"][records["test"]["item_index"][at]].decode() == mine[-1][2]
    assert records["test"]["event_position"][at] == len(mine) - 1


@pytest.mark.slow
def test_movietweetings_has_every_rating_of_its_file(tmp_path):
    [ratings, _] = needs("movietweetings-100k/ratings.dat", "movietweetings-100k/movies.dat")
    rows = [line.split("::") for line in ratings.read_text(encoding="utf-8").split("\n") if line]
    dataset, records = records_of("movietweetings", ratings.parent, tmp_path / "out")
    assert dataset.manifest["rows"]["events"]["accepted"] == len(rows)
    assert sum(len(records[split]["label"]) for split in SPLITS) == len(rows)
    assert dataset.rows("users") == len({row[0] for row in rows})
    count = Counter(row[0] for row in rows)
    assert dataset.rows("test") == sum(number >= 3 for number in count.values())
    positives = sum(int(records[split]["label"].sum()) for split in SPLITS)
    assert positives == sum(int(row[2]) >= 8 for row in rows)


@pytest.mark.slow
def test_movielens_1m_without_times_has_its_published_rating_counts(tmp_path):
    [ratings, _, _] = needs("ml-1m/ratings-no-timestamp.dat", "ml-1m/users.dat", "ml-1m/movies.dat")
    overrides = ["events.files=ratings-no-timestamp.dat", "events.columns=[user_id,item_id,rating]", "timestamp=null"]
    dataset, records = records_of("ml-1m", ratings.parent, tmp_path / "out", *overrides, "label.threshold=null")
    labels = np.concatenate([records[split]["label"] for split in SPLITS])
    assert Counter(labels.tolist()) == {1: 56_174, 2: 107_557, 3: 261_197, 4: 348_971, 5: 226_310}
    assert dataset.rows("users") == 6040
    assert dataset.rows("test") == 6040
    assert dataset.manifest["rejected"] == 0
