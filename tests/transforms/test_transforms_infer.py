"""`python -m transforms.infer` against presets written by hand, logs written by the csv module, and odd files."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.config_file import parse_config
from tfrec.errors import ConfigError, DataError
from tfrec.schema import CategoricalFeature, NumericFeature, SequenceFeature, TextFeature, VectorFeature
from transforms.dataset import write_dataset
from transforms.dataset_config import DatasetConfig, load_dataset_config
from transforms.generate import World, generate_log
from transforms.infer.__main__ import infer
from transforms.infer.dialect import read_table
from transforms.infer.names import role_of_name
from transforms.infer.sample import Sample, read_sample

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("TFREC_DATA", ROOT / "../shared/data"))
START = 1_600_000_000

PUBLISHED = {
    "ml-100k": ("ml-100k", "u.data", "u.user", "u.item"),
    "ml-1m": ("ml-1m", "ratings-no-timestamp.dat", "users.dat", "movies.dat"),
    "movietweetings": ("movietweetings-100k", "ratings.dat", None, "movies.dat"),
}


def published(preset):
    folder, *names = PUBLISHED[preset]
    directory = DATA / folder
    if not directory.exists():
        pytest.skip(f"{directory} is not here; set TFREC_DATA to where the data sets are")
    return [directory / name if name else None for name in names]


def config_of(log, users=None, items=None, **more):
    text, unsure = infer([log] if isinstance(log, Path) else log, users, items, **more)
    return parse_config(text, DatasetConfig, source="dataset.yaml"), text, unsure


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "transforms.infer", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )


def write_rows(path, rows, delimiter=",", quoting=csv.QUOTE_MINIMAL):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows(rows)
    return path


def events(seed=3, count=300):
    """user, item, rating, time of a small log."""
    rng = random.Random(seed)
    return [
        (f"u{rng.randrange(25)}", f"i{rng.randrange(40)}", rng.randint(1, 5), START + 100 * number + rng.randrange(90))
        for number in range(count)
    ]


def line_of(text, key):
    """The line of a key and the comment above it."""
    lines = text.splitlines()
    at = next(number for number, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
    return lines[at - 1] + "\n" + lines[at] if lines[at - 1].lstrip().startswith("#") else lines[at]


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


ODD = {
    "two columns, no header": [(user, item) for user, item, _, _ in events()],
    "two columns with a header": [("customer_no", "article_no"), *((u, i) for u, i, _, _ in events())],
    "no header": events(),
    "semicolons": [("Kunde", "Artikel", "Wert", "Zeit"), *events()],
    "quoted commas": [
        ("user", "item", "note", "rating", "ts"),
        *((u, i, f"good, {'very' if r % 2 else 'quite'}", r, t) for u, i, r, t in events()),
    ],
    "milliseconds": [("visitorid", "itemid", "timestamp"), *((u, i, 1000 * t) for u, i, _, t in events())],
    "columns of one value and of none": [
        ("user", "item", "shop", "nothing"),
        *((u, i, "here", "") for u, i, _, _ in events()),
    ],
    "reserved names": [
        ("user", "item", "k", "label", "2nd price", "yes"),
        *((u, i, n % 7, r % 2, n * 1.5, n % 3) for n, (u, i, r, _) in enumerate(events())),
    ],
}


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


# Single guesses.


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *((name, "user") for name in ("user", "userId", "customer", "visitorid", "reviewerID", "user_idx", "UID")),
        *((name, "item") for name in ("item", "movieId", "product", "article_no", "itemid", "asin", "Product ID")),
        *((name, "label") for name in ("rating", "score", "stars", "review_score", "clicked")),
        *(
            (name, "time")
            for name in ("timestamp", "time", "ts", "date", "unixReviewTime", "event_time_ms", "created_at")
        ),
        *((name, None) for name in ("user_age", "item price", "product_name", "country", "id", "", "last_item")),
    ],
)
def test_the_role_of_a_name(name, role):
    assert role_of_name(name) == role


@pytest.mark.parametrize(
    ("values", "threshold"),
    [
        ((1, 2, 3, 4, 5), 4),
        ((0.5, 1, 2.5, 4, 4.5, 5), 4),
        ((0, 3, 8, 10), 8),
        ((0, 1), 1),
        ((-1, 1), 1),
        (tuple(range(0, 100_000, 700)), None),
    ],
)
def test_the_threshold_of_a_label_by_its_range(values, threshold, tmp_path):
    rows = [("user", "item", "score"), *((u, i, values[n % len(values)]) for n, (u, i, _, _) in enumerate(events()))]
    config, text, _ = config_of(write_rows(tmp_path / "log.csv", rows))
    assert (config.label.column, config.label.threshold) == ("score", threshold)
    assert f"{values[0]}..{values[-1]}" in line_of(text, "label")


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1_000), ("us", 1_000_000)])
@pytest.mark.parametrize("name", ["when", "time"])
def test_the_unit_of_the_time_by_its_range(unit, factor, name, tmp_path):
    rows = [("user", "item", name), *((u, i, t * factor) for u, i, _, t in events())]
    config, _, unsure = config_of(write_rows(tmp_path / "log.csv", rows))
    assert (config.timestamp.column, config.timestamp.unit) == (name, unit)
    assert any("timestamp" in doubt for doubt in unsure) == (name == "when")


def test_a_date_that_is_not_iso_is_not_taken_and_said_to_be_unsure(tmp_path):
    rows = [("user", "item", "date"), *((u, i, f"{1 + n % 28:02}.01.2024") for n, (u, i, _, _) in enumerate(events()))]
    config, _, unsure = config_of(write_rows(tmp_path / "log.csv", rows))
    assert config.timestamp is None
    assert config.split.strategy == "random"
    assert any("'date'" in doubt and "01.01.2024" in doubt for doubt in unsure)


def test_columns_of_the_events_describe_the_item_the_user_or_the_event(tmp_path):
    rng = random.Random(1)
    prices = {f"i{n}": round(rng.uniform(1, 90), 2) for n in range(40)}
    towns = {f"u{n}": rng.choice(["Ulm", "Jena", "Kiel"]) for n in range(25)}
    names = {f"i{n}": f"The long name of item {n}" for n in range(40)}
    rows = [("user", "item", "price", "town", "name", "device")]
    rows += [(u, i, prices[i], towns[u], names[i], rng.choice(["phone", "tv"])) for u, i, _, _ in events()]
    config, _, _ = config_of(write_rows(tmp_path / "log.csv", rows))
    assert isinstance(config.features["price"], NumericFeature)
    assert isinstance(config.features["name"], TextFeature)
    roles = {name: config.features[name].role for name in ("price", "town", "name", "device")}
    assert roles == {"price": "item", "town": "user", "name": "item", "device": "context"}


def test_lists_and_flags_in_cells_become_multivalued(tmp_path):
    rng = random.Random(2)
    log = write_rows(tmp_path / "log.csv", [("user", "item"), *((u, i) for u, i, _, _ in events())])
    rows = [("item", "tags", "new", "sale", "gift")]
    rows += [(f"i{n}", ";".join(rng.sample("abcdef", rng.randint(1, 3))), *rng.choices("01", k=3)) for n in range(40)]
    config, _, _ = config_of(log, items=write_rows(tmp_path / "items.csv", rows))
    tags, flags = config.features["tags"], config.features["flags"]
    assert isinstance(tags, CategoricalFeature)
    assert (tags.role, tags.separator, tags.max_values) == ("item", ";", 3)
    assert (flags.role, flags.flags) == ("item", ("new", "sale", "gift"))


def test_cells_of_equally_many_broken_numbers_become_vectors(tmp_path):
    rng = random.Random(4)
    log = write_rows(tmp_path / "log.csv", [("user", "item"), *((u, i) for u, i, _, _ in events())])
    rows = [("item", "picture", "sound", "place", "printed", "day", "sizes")]
    for number in range(40):
        picture = [round(rng.uniform(-1, 1), 3) for _ in range(5)]
        cells = ["|".join(map(str, picture)), f"[{', '.join(map(str, picture[:4]))}]", f"{picture[0]} {picture[1]}"]
        cells.append(f"[ {picture[0]}  {picture[1]} ]")
        rows.append(
            (f"i{number}", *cells, f"2024 {rng.randint(1, 12)} {number}", " ".join(["1.5"] * rng.randint(1, 3)))
        )
    config, _, _ = config_of(log, items=write_rows(tmp_path / "items.csv", rows))
    found = {name: (f.length, f.separator) for name, f in config.features.items() if isinstance(f, VectorFeature)}
    assert found == {"picture": (5, "|"), "sound": (4, ", "), "place": (2, " "), "printed": (2, " ")}
    assert all(config.features[name].role == "item" for name in found)


def test_lists_of_equally_many_broken_numbers_become_vectors(tmp_path):
    rng = random.Random(5)
    rows = [
        {"user": u, "item": i, "at": t, "v": [rng.random(), rng.random()], "w": [rng.random()] * rng.randint(1, 3)}
        for u, i, _, t in events()
    ]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config, text, _ = config_of(log)
    assert (config.features["v"].length, config.features["v"].list) == (2, True)
    assert "w" not in config.features
    assert "broken numbers" in text


def test_side_tables_decide_which_column_is_the_user(tmp_path):
    """Without a header items come first here: only the users table can tell."""
    rows = [(f"i{n % 40}", f"u{n % 25}") for n in range(400)]
    log = write_rows(tmp_path / "log.csv", rows)
    users = write_rows(tmp_path / "users.csv", [("user_id", "age"), *((f"u{n}", 20 + n) for n in range(25))])
    config, _, _ = config_of(log, users)
    assert config.events.columns == ("item_id", "user_id")
    assert config.schema_of().user_id == "user_id"
    without, _, unsure = config_of(log)
    assert without.events.columns == ("user_id", "item_id")
    assert any(doubt.startswith("user_id: unsure") for doubt in unsure)


def test_the_caller_names_the_ids_where_guessing_fails(tmp_path):
    rows = [("who", "what", "price"), *((u, i, n * 1.5) for n, (u, i, _, _) in enumerate(events()))]
    log = write_rows(tmp_path / "log.csv", rows)
    config, _, _ = config_of(log, user_column="what", item_column="who")
    assert (config.schema_of().user_id, config.schema_of().item_id) == ("what", "who")
    with pytest.raises(ConfigError, match=r"--user-column 'whoo': log.csv has no such column; did you mean 'who'"):
        infer([log], user_column="whoo")


def test_every_guess_has_a_reason_and_unused_columns_are_listed(tmp_path):
    rows = ODD["columns of one value and of none"]
    config, text, _ = config_of(write_rows(tmp_path / "log.csv", rows))
    for key in ("delimiter", "header", "split", *config.features):
        assert "#" in line_of(text, key), key
    assert "# not used: 'shop' of context: the same value in every row of the sample: 'here'" in text
    assert "# not used: 'nothing' of context: no value in the sample" in text


def test_columns_that_number_rows_or_are_codes_of_one_row_are_not_used(tmp_path):
    rows = [
        ("", "user", "item", "order_no", "cost"),
        *((n, u, i, 7 * n % 9973, f"{r},{n % 7}") for n, (u, i, r, _) in enumerate(events())),
    ]
    log = write_rows(tmp_path / "log.csv", rows, ";")
    config, text, unsure = config_of(log)
    assert set(config.features) == {"user", "item", "history", "cost"}
    assert "# not used: '' of context: numbers the rows: 0..299" in text
    assert "# not used: 'order_no' of context: nearly every value is another one" in text
    assert any(doubt.startswith("cost:") and "decimal comma" in doubt for doubt in unsure)


def test_lines_that_the_run_will_reject_are_counted(tmp_path):
    lines = ["user,item", *(f"{u},{i}" + ",odd" * (n % 20 == 0) for n, (u, i, _, _) in enumerate(events(count=200)))]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    _, text, unsure = config_of(tmp_path / "log.csv")
    assert f"{10 / 201:.1%} of them have not and will be rejected" in line_of(text, "delimiter")
    assert any("the run fails" in doubt for doubt in unsure)


def test_latin_1_is_found(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(b"user,item,town\n" + b"".join(b"u%d,i%d,K\xf6ln\n" % (n % 9, n % 7) for n in range(99)))
    assert config_of(path)[0].events.encoding == "latin-1"


def test_one_comma_on_every_line_does_not_hide_the_semicolons(tmp_path):
    rows = [("user", "item", "price, net"), *((u, i, f"{r},{n % 7}") for n, (u, i, r, _) in enumerate(events()))]
    config, _, _ = config_of(write_rows(tmp_path / "log.csv", rows, ";"))
    assert config.events.delimiter == ";"
    assert config.features["price_net"].column == "price, net"


CELL = st.text(alphabet='ab ,;|"0', max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    notes=st.lists(CELL, min_size=4, max_size=30),
    delimiter=st.sampled_from([",", ";", "|", "\t"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_the_csv_module_writes_is_read_back(notes, delimiter, quoting):
    rows = [("user", "item", "note"), *((f"u{n % 3}", f"i{n % 5}", note) for n, note in enumerate(notes))]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows(rows)
    lines = tuple(text.getvalue().removesuffix("\n").split("\n"))
    table = read_table(Sample((Path("log.csv"),), (lines,), "utf-8"))
    assert table.dialect.delimiter == delimiter
    assert table.dialect.header == rows[0]
    assert list(zip(*(column.cells for column in table.columns), strict=True)) == [
        tuple(cell.strip() for cell in row) for row in rows[1:]
    ]


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
