"""Damaged files and odd values: a rejected row or one line."""

from __future__ import annotations

import gzip
import json
import re
import subprocess

import pyarrow as pa
import pytest

from tests.transforms.conftest import Workshop
from tests.transforms.faults.faulty_log import (
    COLUMNS,
    JSONL,
    PARQUET,
    ROOT,
    YAML,
    command,
    csv_of,
    error_lines,
    fingerprint_if_whole,
    log_rows,
    write_parquet,
)
from tfrec.errors import TfrecError

ODD_NUMBERS = (
    "x",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1e39",
    "1_000",
    "0x10",
    "１２",
    "",
    "+5",
    ".5",
    "5.",
    "1e-400",
    "True",
)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_odd_numbers_are_accepted_or_rejected_alike_in_every_format(kind, workshop):
    rows = log_rows(50)
    rows += [("odd", f"o{at}", "1", str(1_700_000_000 + at), text) for at, text in enumerate(ODD_NUMBERS)]
    if kind == "csv":
        workshop.log(events=csv_of(rows))
    elif kind == "jsonl":
        lines = "".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows)
        (workshop.input / "events.jsonl").write_text(lines)
    else:
        write_parquet(workshop.input / "events.parquet", rows)
    counts = workshop.run({"csv": YAML, "jsonl": JSONL, "parquet": PARQUET}[kind])["rows"]["events"]
    assert (counts["rows"], counts["accepted"], counts["rejected"]) == (65, 55, 10)
    assert counts["reasons"] == {"price is not a finite number": 5, "price is not a number": 5}


@pytest.mark.parametrize("column", ["user", "item", "price"])
def test_a_parquet_string_that_is_not_utf8_rejects_its_row(column, workshop):
    rows = log_rows(50)
    texts = [row[COLUMNS.index(column)].encode() for row in rows]
    bad = pa.array([b"\xff\xfe", *texts[1:]], pa.binary()).view(pa.string())
    write_parquet(workshop.input / "events.parquet", rows, **{column: bad})
    counts = workshop.run(PARQUET)["rows"]["events"]
    assert (counts["accepted"], counts["reasons"]) == (49, {f"{column} is not valid UTF-8": 1})


@pytest.mark.parametrize(("unit", "value"), [("ns", 2**63 - 1), ("ms", 2**53), ("ms", -(2**53))])
def test_a_native_time_out_of_all_bounds_rejects_its_row(unit, value, workshop):
    per_second = 1_000_000_000 if unit == "ns" else 1000
    rows = log_rows(50)
    times = [value, *(int(row[3]) * per_second for row in rows[1:])]
    write_parquet(workshop.input / "events.parquet", rows, when=pa.array(times, pa.timestamp(unit)))
    counts = workshop.run(PARQUET)["rows"]["events"]
    assert (counts["accepted"], counts["reasons"]) == (49, {"when lies outside the years 1900 to 2200": 1})


def test_a_flipped_bit_in_a_parquet_page_with_checksum_is_an_error(workshop):
    path = workshop.input / "events.parquet"
    write_parquet(path, log_rows(50), item=pa.array([f"item-{at:03d}" for at in range(50)]))
    content = path.read_bytes()
    assert content.count(b"item-025") == 1
    path.write_bytes(content.replace(b"item-025", b"item-325"))
    with pytest.raises(TfrecError, match="cannot be read as Parquet"):
        workshop.run(PARQUET)


@pytest.mark.parametrize("header", ["user,item\ra,b\rc,d\r", "user," + "x" * 200_000 + "\na,b\n"])
def test_a_header_that_python_cannot_read_is_a_data_error(header, workshop, pairs_yaml):
    workshop.log(events=header)
    with pytest.raises(TfrecError):
        workshop.run(pairs_yaml)


def cut_gzip(shop: Workshop) -> None:
    """Cut behind what is looked at before the pipeline starts."""
    (shop.input / "events.csv").unlink(missing_ok=True)
    packed = gzip.compress(csv_of(log_rows(100_000)).encode(), 1)
    (shop.input / "events.csv.gz").write_bytes(packed[:-200])


def test_a_gzip_cut_off_late_is_a_data_error_and_leaves_the_old_dataset(shop_with_old):
    shop, old = shop_with_old
    cut_gzip(shop)
    with pytest.raises(TfrecError, match="cannot be read to its end"):
        shop.run(YAML)
    assert fingerprint_if_whole(shop.output) == old
    assert shop.names() == {"out"}


def test_an_error_of_a_step_is_one_line(workshop):
    cut_gzip(workshop)
    done = subprocess.run(command(workshop), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    [line] = error_lines(done.stderr)
    assert re.fullmatch(r"DataError: .*is it cut off\?", line)
