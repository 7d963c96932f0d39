"""`python -m transforms.infer` against presets written by hand, logs written by the csv module, and odd files."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.inferring import ODD, config_of, events, line_of, write_rows
from tfrec.errors import ConfigError
from tfrec.schema import CategoricalFeature, NumericFeature, TextFeature, VectorFeature
from transforms.infer.__main__ import infer
from transforms.infer.dialect import read_table
from transforms.infer.names import role_of_name
from transforms.infer.sample import Sample


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
