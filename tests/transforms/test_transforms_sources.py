"""One log in any format and cut into any parts gives one dataset; what is no such log is one clear line."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.transforms.conftest import Workshop
from tfrec.config_file import parse_config
from tfrec.errors import ConfigError, DataError
from transforms.dataset_config import DatasetConfig
from transforms.read.blocks import ReadBlocks
from transforms.read.files import find_tables
from transforms.read.formats import parser_of, reader_of
from transforms.read.typed import SOURCE, TypedRows

YAML = """\
name: formats
events: EVENTS
features:
  user: {role: user, kind: categorical, id: true, column: USER}
  item: {role: item, kind: categorical, id: true}
  past: {role: user, kind: sequence, length: 3}
  tags: {role: item, kind: categorical, SEVERAL, max_values: 3}
  marks: {role: item, kind: categorical, flags: [fresh, sale]}
  price: {role: context, kind: numeric}
  device: {role: context, kind: categorical}
label: {column: stars, threshold: 4}
timestamp: {column: when, unit: s}
split: {strategy: leave_one_out}
"""
COLUMNS = ["user", "item", "tags", "fresh", "sale", "price", "device", "stars", "when"]


def log(count=240, seed=2):
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        item = rng.randrange(12)
        rows.append(
            {
                "user": rng.randrange(15),
                "item": f"é{item}",
                "tags": [f"t{item % 5}", f"t{item % 3 + 5}"][: item % 3],
                "fresh": item % 2,
                "sale": item % 3 == 0,
                "price": rng.choice([None, 1.5, 20.0, 0.1, 3.25]),
                "device": rng.choice(["phone", "desk", None]),
                "stars": rng.choice([1.0, 3.5, 4.0, 5.0]),
                "when": 1_600_000_000 + 60 * number,
            }
        )
    return rows


def as_csv(rows, path):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")  # no header: a row's number decides where its record stands
        for row in rows:
            cells = row | {"tags": "|".join(row["tags"]), "sale": int(row["sale"])}
            writer.writerow([cells[name] for name in COLUMNS])


def as_jsonl(rows, nest=False):
    lines = []
    for row in rows:
        kept = {name: value for name, value in row.items() if value is not None}
        if nest:
            kept["who"] = {"id": kept.pop("user")}
        lines.append(json.dumps(kept))
    return "".join(f"{line}\n" for line in lines).encode()


def as_parquet(rows, path, **options):
    table = pa.table({name: [row[name] for row in rows] for name in COLUMNS})
    pq.write_table(table, path, **options)


def yaml(events, *, is_csv=False, user="user"):
    several = 'separator: "|"' if is_csv else "list: true"
    return YAML.replace("EVENTS", events).replace("SEVERAL", several).replace("USER", user)


def write(directory, how, rows):
    """Write the log and return its dataset.yaml."""
    if how == "csv":
        as_csv(rows, directory / "e.csv")
        return yaml(f"{{files: e.csv, header: false, columns: {COLUMNS}}}", is_csv=True)
    if how == "csv in parts":
        for name, (start, end) in PARTS.items():
            as_csv(rows[start:end], directory / f"{name}.csv")
        return yaml(f"{{files: [b.csv, a.csv, c.csv], header: false, columns: {COLUMNS}}}", is_csv=True)
    if how == "jsonl":
        (directory / "e.jsonl").write_bytes(as_jsonl(rows))
        return yaml("{files: e.jsonl, format: jsonl}")
    if how == "nested jsonl.zst":
        (directory / "e.jsonl.zst").write_bytes(zstandard.compress(as_jsonl(rows, nest=True)))
        return yaml("{files: e.jsonl.zst, format: jsonl}", user="who.id")
    if how == "parquet":
        as_parquet(rows, directory / "e.parquet")
        return yaml("{files: e.parquet, format: parquet}")
    if how == "row groups":
        as_parquet(rows, directory / "e.parquet", row_group_size=17)
        return yaml("{files: e.parquet, format: parquet}")
    assert how == "parts of several formats"
    first, second, third = (rows[start:end] for start, end in PARTS.values())
    as_parquet(first, directory / "b.parquet")
    (directory / "a.jsonl.gz").write_bytes(gzip.compress(as_jsonl(second)))
    strings = [row | {"user": str(row["user"]), "stars": str(row["stars"])} for row in third]
    as_parquet(strings, directory / "c.parquet")
    return yaml(
        "[{files: b.parquet, format: parquet}, {files: a.jsonl.gz, format: jsonl}, {files: c.parquet, format: parquet}]"
    )


PARTS = {"b": (0, 100), "a": (100, 180), "c": (180, 240)}
FORMATS = {
    "jsonl": "csv",
    "nested jsonl.zst": "csv",
    "parquet": "csv",
    "row groups": "csv",
    "parts of several formats": "csv in parts",
}


@pytest.fixture(scope="module")
def from_csv(tmp_path_factory):
    """How a CSV is written → what is made of it."""
    found = {}
    for how in ("csv", "csv in parts"):
        workshop = Workshop(tmp_path_factory.mktemp("formats") / "csv")
        workshop.run(write(workshop.input, how, log()))
        found[how] = records_of(workshop)
    return found


def records_of(workshop):
    """Bytes of every file of records, vocabulary and shown text."""
    return {
        str(path.relative_to(workshop.output)): path.read_bytes()
        for path in sorted(workshop.output.rglob("*"))
        if path.is_file() and (".tfrecord" in path.name or path.suffix in (".txt", ".counts", ".vocab"))
    }


@pytest.mark.parametrize("how", FORMATS)
def test_one_log_in_any_format_gives_the_same_records(workshop, from_csv, how):
    manifest = workshop.run(write(workshop.input, how, log()))
    assert manifest["rejected"] == 0
    assert sum(name.endswith(".tfrecord.gz") for name in records_of(workshop)) == 5
    assert records_of(workshop) == from_csv[FORMATS[how]]


def tables_of(directory, text, *overrides):
    config = parse_config(text, DatasetConfig, overrides, source="dataset.yaml")
    return config, find_tables(config, str(directory))


def test_file_indices_run_on_over_the_parts_in_the_order_of_the_config(tmp_path):
    rows = log()
    config, tables = tables_of(tmp_path, write(tmp_path, "parts of several formats", rows))
    events = tables["events"]
    assert [path.rsplit("/", 1)[1] for path in events.paths] == ["b.parquet", "a.jsonl.gz", "c.parquet"]
    assert events.split_of_file == (None, None, None)
    typed = TypedRows(config, tables, "events")
    found = []
    for source in events.sources:
        parser = parser_of("events", source, typed.wanted)
        for file in source.files:
            for block in reader_of(source).process(file):
                found += typed.convert(block, parser.parse(block)[0])[0].column(SOURCE).to_pylist()
    expected = [range(1, 101), range(1, 81), range(1, 61)]
    assert found == [index * 2**40 + line for index, lines in enumerate(expected) for line in lines]


def test_each_part_says_which_split_its_files_are(tmp_path):
    for name in ("train-1.tsv", "train-2.tsv", "valid.tsv", "test.tsv"):
        (tmp_path / name).write_text("u1\ti1\n")
    parts = ", ".join(
        f'{{files: {files}, delimiter: "\\t", header: false, columns: [user, item], split: {split}}}'
        for files, split in [("valid.tsv", "validation"), ("train-*.tsv", "train"), ("test.tsv", "test")]
    )
    _, tables = tables_of(tmp_path, PAIRS.replace("EVENTS", f"[{parts}]").replace("leave_one_out", "given"))
    assert tables["events"].split_of_file == ("validation", "train", "train", "test")
    assert tables["events"].size_bytes == 4 * len("u1\ti1\n")


PAIRS = """\
name: pairs
events: EVENTS
features:
  user: {role: user, kind: categorical, id: true}
  item: {role: item, kind: categorical, id: true}
split: {strategy: leave_one_out}
"""
GOOD_LINES = b'{"user": "u", "item": {"id": 1}}\n' * 3
BAD_CONFIGS = {
    "a key of csv": ("{files: a.jsonl, format: jsonl, delimiter: ';'}", "'delimiter' has no meaning with 'format: jso"),
    "header of parquet": ("{files: a.jsonl, format: parquet, header: false}", "'header' has no meaning"),
    "quote of jsonl": ("{files: a.jsonl, format: jsonl, quote: null}", "'quote' has no meaning"),
    "columns of parquet": ("{files: a.jsonl, format: parquet, columns: [a]}", "'columns' has no meaning"),
    "an unknown format": (
        "{files: a.jsonl, format: json}",
        "events.format: got 'json'; input should be 'csv', 'jsonl'",
    ),
    "a misspelt key of a part": ("[{files: a.jsonl, frmat: jsonl}]", "did you mean 'format'?"),
    "no parts": ("[]", "is an empty list; name at least one table"),
    "split of one part": ("[{files: a, split: train}, {files: b}]", "part 2 has no 'split' and another has"),
    "a file in two parts": ("[{files: a.jsonl}, {files: '*.jsonl'}]", "a.jsonl belongs to two parts"),
    "an unknown key of the log": (
        "{files: a.jsonl, format: jsonl}",
        "events have no key 'item' in the first rows for the item id; did you mean 'item.id'? (a key that few rows",
    ),
}


@pytest.mark.parametrize("mistake", BAD_CONFIGS)
def test_a_config_that_does_not_fit_is_named(tmp_path, mistake):
    events, message = BAD_CONFIGS[mistake]
    (tmp_path / "a.jsonl").write_bytes(GOOD_LINES)
    with pytest.raises(ConfigError) as caught:
        tables_of(tmp_path, PAIRS.replace("EVENTS", events))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_users_have_no_split(tmp_path):
    (tmp_path / "a.csv").write_text("user,item\nu,i\n")
    with pytest.raises(ConfigError, match="users: has 'split'; only events belong to a split"):
        tables_of(tmp_path, PAIRS.replace("EVENTS", "{files: a.csv}") + "users: {files: a.csv, split: train}\n")


def test_a_rare_key_of_jsonl_may_be_named_in_the_config(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(GOOD_LINES)
    _, tables = tables_of(tmp_path, PAIRS.replace("EVENTS", "{files: a.jsonl, format: jsonl, columns: [item]}"))
    assert set(tables["events"].columns) == {"user", "item", "item.id"}


def test_a_parquet_file_without_a_wanted_column_is_named(tmp_path):
    pq.write_table(pa.table({"user": [1], "item": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"user": [1], "article": [1]}), tmp_path / "b.parquet")
    with pytest.raises(ConfigError, match=r"events: .*b.parquet has no column 'item' for the item id"):
        tables_of(tmp_path, PAIRS.replace("EVENTS", "{files: '*.parquet', format: parquet}"))


def test_lists_are_read_from_formats_that_have_them(tmp_path):
    (tmp_path / "a.csv").write_text("user,item,tags\nu,i,x\n")
    text = PAIRS.replace("EVENTS", "{files: a.csv}").replace(
        "split:", "  tags: {role: item, kind: categorical, list: true}\nsplit:"
    )
    with pytest.raises(ConfigError, match="feature 'tags': 'list: true' reads JSONL or Parquet, events are CSV"):
        tables_of(tmp_path, text)


def test_a_column_is_not_both_a_list_and_the_label(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"user": 1, "item": 2, "tags": ["x"]}\n')
    text = PAIRS.replace("EVENTS", "{files: a.jsonl, format: jsonl}").replace(
        "split:", "  tags: {role: item, kind: categorical, list: true}\nlabel: {column: tags}\nsplit:"
    )
    with pytest.raises(ConfigError, match="'label' and 'tags': one reads 'tags' as a list, one does not"):
        tables_of(tmp_path, text)


def test_a_parquet_file_with_two_columns_of_one_name_is_refused(tmp_path):
    columns = [pa.array([1]), pa.array([2]), pa.array([3])]
    pq.write_table(pa.Table.from_arrays(columns, ["user", "item", "item"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet: has two columns 'item'; rename one"):
        tables_of(tmp_path, PAIRS.replace("EVENTS", "{files: a.parquet, format: parquet}"))


NOT_OF_THE_FORMAT = {
    "csv as jsonl": ("jsonl", b"user,item\nu1,i1\n", "its first lines hold no JSON object"),
    "csv as parquet": ("parquet", b"user,item\nu1,i1\n", "cannot be read as Parquet"),
    "an empty parquet": ("parquet", b"", "empty; there is nothing to learn from"),
}


@pytest.mark.parametrize("mistake", NOT_OF_THE_FORMAT)
def test_a_file_of_another_format_is_named(tmp_path, mistake):
    form, content, message = NOT_OF_THE_FORMAT[mistake]
    (tmp_path / "a.log").write_bytes(content)
    with pytest.raises(DataError, match=f"a.log: {message}"):
        tables_of(tmp_path, PAIRS.replace("EVENTS", f"{{files: a.log, format: {form}}}"))


COMPRESS = {"gz": gzip.compress, "bz2": bz2.compress, "zst": zstandard.compress, "zstd": zstandard.compress}


def blocks(path):
    return b"".join(block.content for block in ReadBlocks(header=False, block_bytes=1000).process((0, str(path))))


@pytest.mark.parametrize("ending", COMPRESS)
def test_a_file_of_several_members_is_read_whole_and_one_cut_off_is_an_error(tmp_path, ending):
    text = b"".join(b"%d,%d\n" % (number, number**5 % 99991) for number in range(4000))
    member = COMPRESS[ending](text)
    path = tmp_path / f"log.csv.{ending}"
    path.write_bytes(member * 2)
    assert blocks(path) == text * 2
    for end in (
        len(member) // 2,
        len(member) - 1,
        len(member) + 3,
        len(member) + len(member) // 2,
        2 * len(member) - 1,
    ):
        path.write_bytes((member * 2)[:end])
        with pytest.raises(DataError, match=f"log.csv.{ending}: cannot be read to its end .*; is it cut off"):
            blocks(path)


def test_a_compressed_header_is_found(tmp_path):
    (tmp_path / "a.csv.zst").write_bytes(zstandard.compress(b"\xef\xbb\xbfuser,item\r\nu,i\r\n"))
    _, tables = tables_of(tmp_path, PAIRS.replace("EVENTS", "{files: a.csv.zst}"))
    assert tables["events"].columns == ("user", "item")
