"""Reading served logs: CSV, JSONL or Parquet, a file or a directory of them, and only the columns asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.dataset as ds

from tfrec.errors import DataError, did_you_mean

FORMATS = {".csv": "csv", ".jsonl": "json", ".ndjson": "json", ".json": "json", ".parquet": "parquet"}
SHAPES = {
    "csv": "a header, and in every row as many values",
    "json": "an object of the same fields in every line",
    "parquet": "a whole Parquet file",
}


def read_log(path: str | Path, columns: Mapping[str, pa.DataType | None]) -> pa.Table:
    """Return these columns of all rows.

    Args:
        path: a file, or a directory of files of one format
        columns: what a CSV's or JSONL's values are read as, None for what the first of them look like; float64 takes
            whole numbers, and booleans stay booleans

    Raises:
        DataError: nothing is there, it is empty or no table, or a column is missing.

    """
    files = [str(file) for file in _files(Path(path))]
    kind = FORMATS[_ending(Path(files[0]))]
    form = ds.CsvFileFormat(default_fragment_scan_options=_empty_is_null()) if kind == "csv" else kind
    try:
        schema = ds.dataset(files, format=form).schema
        for name, wanted in columns.items():
            if name not in schema.names:
                raise DataError(f"{path}: no column {name!r}{did_you_mean(name, schema.names)}")
            place = schema.get_field_index(name)
            if kind != "parquet" and wanted is not None and _can_be(schema.field(place).type, wanted, kind):
                schema = schema.set(place, pa.field(name, wanted))
        table = ds.dataset(files, format=form, schema=schema).to_table(columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as {kind}: {_reason(str(error), kind)}") from None
    if not table.num_rows:
        raise DataError(f"{path}: has no rows; give a log with a row per user or several")
    return table


def _reason(text: str, kind: str) -> str:
    """The part of Arrow's message that a reader of the log can use, and what is wanted."""
    if found := re.search(r"conversion error to (\S+): invalid value '(.*?)'", text):
        return f"got {found[2]!r} where the values before it are of type {found[1]}; mend or remove such rows"
    if found := re.search(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)", text):
        row = f"row {found[1]} (the header is row 1)" if found[1] else "a row"
        return f"{row} has {found[3]} values, wanted {found[2]}; give {SHAPES[kind]}"
    return f"it is no such table; give {SHAPES[kind]}"


def _empty_is_null() -> ds.CsvFragmentScanOptions:
    return ds.CsvFragmentScanOptions(convert_options=pa_csv.ConvertOptions(strings_can_be_null=True))


def _can_be(found: pa.DataType, wanted: pa.DataType, kind: str) -> bool:
    """Whether values that look like `found` at the file's beginning may be read as `wanted`: all texts are strings."""
    if pa.types.is_null(found):
        return True
    return pa.types.is_integer(found) if pa.types.is_floating(wanted) else kind == "csv"


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise DataError(f"{path}: no such file or directory; give a log of {', '.join(FORMATS)}")
    found = [path] if path.is_file() else sorted(file for file in path.rglob("*") if _ending(file) in FORMATS)
    endings = sorted({_ending(file) for file in found})
    if not found or len({FORMATS.get(ending) for ending in endings}) > 1 or endings[0] not in FORMATS:
        got = ", ".join(ending or "no ending" for ending in endings) or "no log file"
        raise DataError(f"{path}: got {got}; allowed: files of one format of {', '.join(FORMATS)}, also as .gz")
    if empty := [file for file in found if not file.stat().st_size]:
        raise DataError(f"{empty[0]}: is empty; name a log with rows, or take the file away")
    return found


def _ending(file: Path) -> str:
    """The ending that says the format: `.csv` of `log.csv.gz`."""
    return (Path(file.stem) if file.suffix == ".gz" else file).suffix.lower()
