"""`python -m transforms.infer`: published files, odd logs that then run with every row, and what is no log."""

from __future__ import annotations

import csv
import gzip
import io
import random

import pytest

from tests.transforms.inferring import ODD, PUBLISHED, command, config_of, events, published, write_rows
from tfrec.errors import ConfigError, DataError
from tfrec.schema import SequenceFeature
from transforms.dataset import write_dataset
from transforms.dataset_config import load_dataset_config
from transforms.generate import World, generate_log
from transforms.infer.__main__ import infer
from transforms.infer.sample import read_sample

# What people wrote by hand is the oracle.


@pytest.mark.parametrize("preset", PUBLISHED)
def test_published_files_are_read_as_their_preset_reads_them(preset):
    guessed, _, _ = config_of(*published(preset))
    by_hand = load_dataset_config(preset)
    for name in ("events", "users", "items"):
        guess, truth = guessed.table(name), by_hand.table(name)
        assert (guess is None) == (truth is None)
        if guess is not None:
            found = (guess.delimiter, guess.header, guess.quote, guess.encoding, guess.columns[0])
            assert found == (truth.delimiter, truth.header, truth.quote, truth.encoding, truth.columns[0])
            known = [column for column in truth.columns if column != "timestamp" or preset != "ml-1m"]
            assert len(guess.columns) == len(known)
    assert guessed.label == by_hand.label
    if preset != "ml-1m":  # whose file here has no times
        assert guessed.timestamp == by_hand.timestamp
        assert guessed.split.strategy == "temporal"


@pytest.mark.parametrize("preset", PUBLISHED)
def test_published_columns_get_the_kinds_of_their_preset(preset):
    guessed, _, _ = config_of(*published(preset))
    by_hand = load_dataset_config(preset)

    def by_place(config):
        """(table, column numbers) → what the feature is; columns have other names in the two."""
        found = {}
        for name, feature in config.features.items():
            if isinstance(feature, SequenceFeature):
                continue
            table = {"user": config.users, "item": config.items}[feature.role] or config.events
            flags = getattr(feature, "flags", None)
            columns = flags or (feature.column or name,)
            place = (feature.role, tuple(table.columns.index(column) for column in columns))
            found[place] = (feature.kind, getattr(feature, "separator", None), getattr(feature, "id", False))
        return found

    guess, truth = by_place(guessed), by_place(by_hand)
    assert {place: guess.get(place) for place in truth} == truth


def test_the_generated_log_is_described_as_its_preset_describes_it(tmp_path):
    generate_log(tmp_path, seed=4, world=World(users=200, items=150))
    guessed, _, unsure = config_of(tmp_path / "events.csv", tmp_path / "users.csv", tmp_path / "items.csv")
    truth = load_dataset_config("generated")
    assert {n: (f.role, f.kind) for n, f in guessed.features.items()} == {
        n: (f.role, f.kind) for n, f in truth.features.items()
    }
    assert guessed.features["genres"].separator == truth.features["genres"].separator
    assert (guessed.label, guessed.timestamp) == (truth.label, truth.timestamp)
    assert guessed.features["history"].length == 30
    assert unsure == []


# End to end: what is written runs, and takes every row.


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["generated", *PUBLISHED])
def test_a_guessed_file_runs_and_takes_every_row(preset, tmp_path):
    if preset == "generated":
        generate_log(tmp_path / "logs", seed=2, world=World(users=150, items=120))
        files = [tmp_path / "logs" / f"{name}.csv" for name in ("events", "users", "items")]
    else:
        files = published(preset)
    log, users, items = files
    done = command(log, *(["--users", users] if users else []), "--items", items, "--output", tmp_path / "dataset.yaml")
    assert done.returncode == 0, done.stderr
    config = load_dataset_config(str(tmp_path / "dataset.yaml"))
    manifest = write_dataset(config, str(log.parent), str(tmp_path / "dataset"))
    for name, path in (("events", log), ("users", users), ("items", items)):
        if path is not None:
            with path.open("rb") as file:
                lines = sum(1 for _ in file) - (preset == "generated")
            assert manifest["rows"][name]["rows"] == lines
    assert manifest["rejected"] == 0


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_log_runs_and_takes_every_row(odd, tmp_path):
    rows = ODD[odd]
    log = write_rows(tmp_path / "log.csv", rows, ";" if odd == "semicolons" else ",")
    config, _, _ = config_of(log)
    manifest = write_dataset(config, str(tmp_path), str(tmp_path / "dataset"))
    has_header = not str(rows[0][0]).startswith("u") or rows[0][0] == "user"
    counts = manifest["rows"]["events"]
    assert counts["rows"] == counts["accepted"] == len(rows) - has_header
    assert (counts["rejected"], counts["reasons"]) == (0, {})


def test_several_compressed_logs_in_several_directories_run(tmp_path):
    rows = events()
    for number, part in enumerate((rows[:150], rows[150:])):
        folder = tmp_path / f"day{number}"
        folder.mkdir()
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("user", "item", "rating", "ts"), *part])
        (folder / "log.csv.gz").write_bytes(gzip.compress(text.getvalue().encode()))
    config, _, _ = config_of(sorted(tmp_path.glob("*/log.csv.gz")))
    assert config.events.files == ("day0/log.csv.gz", "day1/log.csv.gz")
    manifest = write_dataset(config, str(tmp_path), str(tmp_path / "dataset"))
    assert manifest["rows"]["events"]["accepted"] == len(rows)


# Mistakes.


def mistakes(tmp_path):
    binary = random.Random(1).randbytes(5000)
    return {
        "empty": (b"", "empty; there is nothing to infer from"),
        "blank": (b"\n\n\n", "holds no rows"),
        "binary": (binary, "is binary or UTF-16"),
        "utf16": ("user,item\nu1,i1\n".encode("utf-16"), "is binary or UTF-16"),
        "parquet": (b"PAR1" + binary, "is a Parquet file"),
        "gzip": (gzip.compress(b"user,item\n"), "is a gzip file"),
        "json": (b'{"user": 1, "item": 2}\n' * 9, "is JSON"),
        "one_column": (b"user\nu1\nu2\nu3\n", "one column"),
        "uneven": (b"a,b,c\nd\ne,f\ng,h,i,j\n", "one column, or columns that no delimiter splits evenly"),
        "header_only": (b"user,item\n", "holds a header and no rows"),
        "twice": (b"user,item,item\nu1,i1,2\nu2,i2,3\n", "names column 'item' twice"),
        "one_id": (b"user,price\n" + b"".join(b"u%d,%d.5\n" % (n % 3, n) for n in range(50)), "--item-column"),
    }


@pytest.mark.parametrize("mistake", mistakes(None))
def test_a_file_that_is_no_log_is_one_line_and_exit_code_2(mistake, tmp_path):
    content, expected = mistakes(tmp_path)[mistake]
    log = tmp_path / "log.csv"
    log.write_bytes(content)
    done = command(log, "--output", tmp_path / "dataset.yaml")
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.startswith("DataError: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "dataset.yaml").exists()


def test_a_compressed_file_that_is_cut_off_is_an_error_of_the_data(tmp_path):
    whole = gzip.compress("\n".join(f"u{n},i{n % 7}" for n in range(20_000)).encode())
    (tmp_path / "log.csv.gz").write_bytes(whole[: len(whole) // 20])
    with pytest.raises(DataError, match=r"log.csv.gz: cannot be read"):
        read_sample([tmp_path / "log.csv.gz"])


def test_an_existing_output_is_kept(tmp_path):
    log = write_rows(tmp_path / "log.csv", events())
    output = tmp_path / "dataset.yaml"
    output.write_text("mine")
    done = command(log, "--output", output)
    assert done.returncode == 2
    assert "exists and is not overwritten" in done.stderr
    assert output.read_text() == "mine"


def test_ids_of_two_names_are_refused_with_both_names(tmp_path):
    log = write_rows(tmp_path / "log.csv", [("userId", "item"), *((u, i) for u, i, _, _ in events())])
    users = write_rows(tmp_path / "users.csv", [("customer", "age"), *((f"u{n}", 20 + n) for n in range(25))])
    with pytest.raises(ConfigError, match=r"users.csv: calls the user id 'customer', log.csv calls it 'userId'"):
        infer([log], users)


def test_logs_of_two_forms_are_refused(tmp_path):
    one = write_rows(tmp_path / "a.csv", events())
    other = write_rows(tmp_path / "b.csv", [row[:3] for row in events()])
    with pytest.raises(DataError, match=r"b.csv: has 3 columns where .*a.csv has 4"):
        infer([one, other])
