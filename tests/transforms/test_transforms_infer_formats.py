"""`python -m transforms.infer` on JSON lines and Parquet: as good as on the same log in CSV, and its drafts run."""

from __future__ import annotations

import gzip
import json
import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tfrec.config_file import parse_config
from tfrec.errors import DataError
from transforms.dataset import write_dataset
from transforms.dataset_config import DatasetConfig
from transforms.infer.__main__ import infer

START = datetime(2023, 5, 1, tzinfo=UTC)


def log(count=300, seed=3):
    """A log with a nested user, a list, a truth value and an ISO time."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        item = rng.randrange(40)
        rows.append(
            {
                "user": {"id": rng.randrange(25), "geo": {"country": rng.choice(["no", "it", "de"])}},
                "item_id": f"i{item}",
                "genres": [f"g{item % 5}", f"g{item % 7}"][: 1 + item % 2],
                "price": rng.choice([1.5, 2.25, 9.99, 20.0]) * (1 + item),
                "clicked": rng.random() < 0.3,
                "visits": [{"page": 1}],
                "time": (START + timedelta(minutes=7 * number)).isoformat(),
            }
        )
    return rows


def write(directory, how):
    rows = log()
    path = directory / f"log.{how}"
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if how.endswith("parquet"):
        times = [datetime.fromisoformat(row["time"]) for row in rows]
        pq.write_table(pa.Table.from_pylist([row | {"time": t} for row, t in zip(rows, times, strict=True)]), path)
    elif how.endswith("gz"):
        path.write_bytes(gzip.compress(text))
    else:
        path.write_bytes(zstandard.compress(text) if how.endswith("zst") else text)
    return path


def config_of(*logs, **more):
    text, unsure = infer(list(logs), **more)
    return parse_config(text, DatasetConfig, source="dataset.yaml"), text, unsure


FORMATS = ["jsonl", "ndjson", "json", "jsonl.gz", "jsonl.zst", "parquet"]


@pytest.mark.parametrize("how", FORMATS)
def test_nested_keys_lists_truth_values_and_times_are_found(tmp_path, how):
    config, text, unsure = config_of(write(tmp_path, how))
    assert config.events.format == ("parquet" if how == "parquet" else "jsonl")
    assert config.events.files == (f"log.{how}",)
    assert config.features["user_id"].column == "user.id"
    assert config.features["user_geo_country"].column == "user.geo.country"
    assert (config.features["genres"].role, config.features["genres"].list) == ("item", True)
    assert config.features["price"].kind == "numeric"
    assert (config.label.column, config.label.values) == ("clicked", ("true",))
    assert (config.timestamp.column, config.timestamp.unit) == ("time", "iso")
    assert config.split.strategy == "temporal"
    assert "# not used: 'visits' of" in text
    assert "lists of objects, which no feature reads" in text
    assert unsure == []


@pytest.mark.slow
@pytest.mark.parametrize("how", ["jsonl.zst", "parquet"])
def test_what_is_written_runs_and_takes_every_row(tmp_path, how):
    config, _, _ = config_of(write(tmp_path, how))
    manifest = write_dataset(config, str(tmp_path), str(tmp_path / "dataset"))
    assert manifest["rows"]["events"]["accepted"] == 300


def test_side_tables_may_be_of_another_format(tmp_path):
    users = [{"user.id": number, "age": 20 + number * 7 % 40} for number in range(25)]
    pq.write_table(pa.Table.from_pylist(users), tmp_path / "users.parquet")
    config, _, _ = config_of(write(tmp_path, "jsonl"), users=tmp_path / "users.parquet")
    assert (config.events.format, config.users.format) == ("jsonl", "parquet")
    assert config.features["age"].role == "user"


def test_lines_that_are_no_objects_are_counted(tmp_path):
    path = write(tmp_path, "jsonl")
    path.write_bytes(path.read_bytes() + b"oops\n" * 20)
    _, text, unsure = config_of(path)
    assert f"lines are JSON objects, but {20 / 320:.1%} of them are not and will be rejected" in text
    assert [doubt.partition(":")[0] for doubt in unsure] == ["events.format"]


def test_keys_that_the_first_rows_lack_are_named_for_the_run(tmp_path):
    rows = [{"user": f"u{n % 9}", "item": f"i{n % 7}"} for n in range(2000)]
    rows += [row | {"coupon": f"c{n % 3}"} for n, row in enumerate(rows[:900])]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config, _, _ = config_of(tmp_path / "log.jsonl")
    assert config.events.columns == ("coupon",)
    assert "coupon" in config.features


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_units_of_whole_numbers_are_found(tmp_path, unit):
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    rows = [{"user": f"u{n % 9}", "item": f"i{n % 7}", "ts": (1_600_000_000 + n) * per_second} for n in range(300)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config, _, _ = config_of(tmp_path / "log.jsonl")
    assert (config.timestamp.column, config.timestamp.unit) == ("ts", unit)


@pytest.mark.parametrize("name", ["time", "happened"])
def test_iso_times_are_found_in_csv_too(tmp_path, name):
    lines = [f"user,item,{name}", *(f"u{n % 9},i{n % 7},{(START + timedelta(hours=n)):%F %T}" for n in range(300))]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    config, _, unsure = config_of(tmp_path / "log.csv")
    assert (config.timestamp.column, config.timestamp.unit) == (name, "iso")
    assert bool(unsure) == (name == "happened")


MISTAKES = {
    "a text called .parquet": ("log.parquet", b"user,item\nu1,i1\n", "log.parquet: cannot be read as Parquet"),
    "a csv called .jsonl": ("log.jsonl", b"user,item\nu1,i1\n", "log.jsonl: holds no JSON object on a line of its own"),
    "one document": ("log.json", b'[\n{\n"user": 1\n}\n]\n', "log.json: holds no JSON object on a line of its own"),
    "one key": ("log.jsonl", b'{"user": 1}\n', "log.jsonl: has 1 column; a log needs a user and an item column"),
    "jsonl called .csv": ("log.csv", b'{"user": 1, "item": 2}\n' * 5, "log.csv: is JSON; .* name it .jsonl"),
    "Zstandard called .csv": ("log.csv", zstandard.compress(b"user,item\n"), "log.csv: is a Zstandard file; name it"),
    "cut off": ("log.csv.zst", zstandard.compress(random.Random(1).randbytes(9000))[:5000], "log.csv.zst: cannot be"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_file_that_is_no_log_is_one_line(tmp_path, mistake):
    name, content, message = MISTAKES[mistake]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        config_of(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_an_absent_file_and_several_formats_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"absent.parquet: cannot be read .*; name an existing file"):
        config_of(tmp_path / "absent.parquet")
    (tmp_path / "b.csv").write_text("user,item\nu,i\n")
    with pytest.raises(DataError, match=r"b.csv: is csv by its name where .*log.jsonl is jsonl"):
        config_of(write(tmp_path, "jsonl"), tmp_path / "b.csv")
