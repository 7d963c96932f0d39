"""The generated log, the sets that all sides read, and the metrics that all sides are judged by."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.training import criteo
from benchmarks.training.encoded_sets import export_pairs, export_set
from benchmarks.training.exchange import auc, ndcg_at_10, read_fields, read_pairs, read_split
from benchmarks.training.venvs import PINNED
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import read_part
from tfrec.models.inputs import id_counts

ROWS = 3000


def written(directory, seed=1, **keywords):
    criteo.write_log(directory, ROWS, criteo.field_sizes(**keywords), seed)
    return pq.read_table(directory / criteo.EVENTS)


def test_the_same_seed_writes_the_same_log_and_another_seed_another_one(tmp_path):
    first, again, other = (written(tmp_path / name, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert first.equals(again)
    assert not first["click"].equals(other["click"])
    assert first.num_rows == ROWS


def test_the_log_has_26_fields_from_ten_to_a_million_values_and_13_numbers(tmp_path):
    sizes = criteo.field_sizes()
    assert len(sizes) == 26
    assert min(sizes.values()) == 10
    assert max(sizes.values()) == 1_000_000
    columns = written(tmp_path).column_names
    assert len([name for name in columns if re.fullmatch(r"n\d\d", name)]) == 13
    assert set(sizes) <= set(columns)


def test_tables_of_a_given_size_are_hashed_into_as_many_rows():
    sizes = criteo.field_sizes(600_000)
    assert sum(sizes.values()) == pytest.approx(600_000, abs=len(sizes))
    hashed = {name: size for name, size in sizes.items() if size >= criteo.HASHED_FROM}
    assert set(sizes) - set(hashed) == {"user_id", "item_id"}
    assert criteo.dataset_config(sizes).count("hash_buckets") == len(hashed)
    with pytest.raises(ValueError, match="too few"):
        criteo.field_sizes(50_000)


def test_values_occur_by_zipfs_law():
    size, rows = 1000, 200_000
    ranks = criteo.draw_ranks(size, rows, np.random.default_rng(1))
    assert ranks.min() == 0
    assert ranks.max() == size - 1
    # The continuous law 1/x between 1 and size + 1 gives rank r the share log((r + 2) / (r + 1)) / log(size + 1).
    for rank in (0, 1, 9, 99):
        share = np.log((rank + 2) / (rank + 1)) / np.log(size + 1)
        assert np.mean(ranks == rank) == pytest.approx(share, abs=4 * np.sqrt(share / rows))


def test_tokens_tell_values_apart():
    tokens = criteo.tokens_of(np.arange(100_000)).to_pylist()
    assert len(set(tokens)) == 100_000
    assert tokens[1] == f"{2654435761:08x}"


def test_clicks_follow_the_planted_truth():
    rng = np.random.default_rng(3)
    sizes = [10, 50, 200]
    truth = criteo.Truth(sizes, rng)
    values = [criteo.draw_ranks(size, 20, rng) for size in sizes]
    numbers = rng.normal(size=(20, criteo.NUMBERS))
    for row, odds in enumerate(truth.log_odds(values, numbers)):
        expected = -1.0 + sum(slope * number for slope, number in zip(truth._slopes, numbers[row], strict=True))
        expected += sum(effects[ranks[row]] for effects, ranks in zip(truth._effects, values, strict=True))
        for one, other in truth._pairs:
            expected += float(truth._hidden[one][values[one][row]] @ truth._hidden[other][values[other][row]])
        assert odds == pytest.approx(expected, abs=1e-5)


def test_auc_is_that_of_scikit_learn_with_ties():
    rng = np.random.default_rng(5)
    labels = (rng.random(500) < 0.3).astype("float32")
    scores = rng.integers(0, 20, 500).astype("float32")
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


def test_ndcg_is_that_of_a_plain_loop():
    rng = np.random.default_rng(7)
    users, items = 30, 60
    scores = rng.integers(0, 12, (users, items)).astype("float32")  # many ties
    seen = np.stack([rng.integers(0, users, 200), rng.integers(0, items, 200)], axis=1)
    held_out = np.stack([np.arange(0, users, 2), rng.integers(0, items, users // 2)], axis=1)
    gains = []
    for user, item in held_out.tolist():
        hidden = {other for one, other in seen.tolist() if one == user} - {item}
        ranked = sorted((set(range(items)) - hidden), key=lambda other: (-scores[user, other], other))
        rank = ranked.index(item)
        gains.append(1 / np.log2(rank + 2) if rank < 10 else 0.0)
    assert 0 < np.mean(gains) < 1
    assert ndcg_at_10(scores, seen, held_out) == pytest.approx(np.mean(gains))


def test_all_sides_get_the_rows_of_the_dataset_split_by_split(world, tmp_path):
    dataset = DatasetDirectory(world.dataset())
    export_set(dataset, tmp_path)
    fields = read_fields(tmp_path)
    assert {name: field.rows for name, field in fields.items() if field.kind != "number"} == {
        name: rows for name, rows in id_counts(dataset).items() if name != "history"
    }
    assert fields["genres"].kind == "ids"
    assert fields["age_in_years"].kind == "number"
    for split in ("train", "validation", "test"):
        expected, found = read_part(dataset, split), read_split(tmp_path, split)
        assert set(found) == {*fields, "label"}
        for name, values in found.items():
            np.testing.assert_array_equal(values, expected[name])


def test_pairs_are_in_order_of_time(world, tmp_path):
    dataset = DatasetDirectory(world.dataset())
    export_pairs(dataset, tmp_path)
    users, items, splits = read_pairs(tmp_path)
    assert (users, items) == (dataset.rows("users"), dataset.rows("items"))
    records = read_part(dataset, "train")
    rows = zip(records["user_index"], records["event_position"], records["item_index"], strict=True)
    expected = [(user, item) for user, _, item in sorted(rows)]
    assert list(map(tuple, splits["train"].tolist())) == expected


@pytest.mark.parametrize("name", ["tensorflow", "torch"])
def test_every_package_of_the_other_libraries_is_pinned(name):
    lines = (PINNED / f"{name}.txt").read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    assert packages
    assert not [line for line in packages if not re.fullmatch(r"[A-Za-z0-9_.\-]+==[A-Za-z0-9_.+!\-]+", line)]


def test_what_was_interrupted_is_written_again(tmp_path):
    from benchmarks.training.processes import make

    target: Path = tmp_path / "set"

    def torn(path):
        path.mkdir(exist_ok=True)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(target, torn)
    assert not target.exists()
    make(target, lambda path: (path.mkdir(exist_ok=True), (path / "about.json").write_text(json.dumps(1))))
    assert (target / "about.json").exists()
