"""`python -m transforms.infer`: a first dataset.yaml from a look at the log."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from tfrec.command_line import ArgumentParser, run_command
from tfrec.config_file import parse_config
from tfrec.errors import ConfigError
from transforms.dataset_config import DatasetConfig
from transforms.infer.dialect import Table
from transforms.infer.draft_text import doubts, draft_text
from transforms.infer.guess import key_of, make_draft
from transforms.infer.roles import find_roles
from transforms.infer.tables import sample_table

EXAMPLE = """\
example: python -m transforms.infer LOGS/events.csv --users LOGS/users.csv --items LOGS/items.csv --output dataset.yaml

Guesses how the files are written and what their columns are, from their first 10,000 rows, and says why in comments.
Files are CSV but for .jsonl, .ndjson, .json (one object per line) and .parquet; text may be .gz, .bz2 or .zst.
"""


def infer(
    logs: Sequence[Path],
    users: Path | None = None,
    items: Path | None = None,
    *,
    user_column: str | None = None,
    item_column: str | None = None,
    output: Path = Path("dataset.yaml"),
) -> tuple[str, list[str]]:
    """Return the text of a dataset.yaml that parses, and all that it is unsure about.

    Args:
        logs: event files of one form.
        users: a table with one row per user.
        items: a table with one row per item.
        user_column: where the guess would be wrong: as in the header, or `column_1` and so on without one.
        item_column: likewise.
        output: only for the command in the text's first lines.

    Raises:
        DataError: a file is absent, empty, binary, or has one column; or no column is like a user or an item.
        ConfigError: an id has different names in two headers, or the caller's column is not there.

    """
    tables: dict[str, Table] = {"events": sample_table(logs)}
    side: dict[Literal["user", "item"], Table] = {}
    if users is not None:
        tables["users"] = side["user"] = sample_table([users])
    if items is not None:
        tables["items"] = side["item"] = sample_table([items])
    events = tables["events"]
    keys = {role: frozenset(key_of(table, role, events).counts) for role, table in side.items()}
    none: frozenset[str] = frozenset()
    roles = find_roles(events, keys.get("user", none), keys.get("item", none), user_column, item_column)
    draft = make_draft(events, roles, side)
    paths = [*logs, *(path for path in (users, items) if path is not None)]
    directory = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    files = {
        part: [path.absolute().relative_to(directory).as_posix() for path in table.sample.paths]
        for part, table in tables.items()
    }
    shown = os.path.relpath(directory) if directory.is_relative_to(Path.cwd()) else str(directory)
    run = (
        f"python -m transforms.run --config {shlex.quote(str(output))} "
        f"--input-dir {shlex.quote(shown)} --output DATASET"
    )
    text = draft_text(draft, tables, files, directory.name or "dataset", run)
    parse_config(text, DatasetConfig, source=output.name)
    return text, doubts(draft, tables)


def parser() -> ArgumentParser:
    flags = ArgumentParser(prog="python -m transforms.infer", example=EXAMPLE)
    flags.add_argument("logs", nargs="+", metavar="LOG", help="files of events, all of one form")
    flags.add_argument("--users", metavar="FILE", help="a table with one row per user")
    flags.add_argument("--items", metavar="FILE", help="a table with one row per item")
    flags.add_argument("--user-column", metavar="NAME", help="the user id, where the guess is wrong")
    flags.add_argument("--item-column", metavar="NAME", help="the item id, where the guess is wrong")
    flags.add_argument("--output", default="dataset.yaml", help="the file to write; an existing one is kept")
    return flags


def main(arguments: list[str]) -> None:
    flags = parser().parse(arguments)
    output = Path(flags.output)
    if output.exists():
        raise ConfigError(f"--output {output}: exists and is not overwritten; remove it or name another file")
    text, unsure = infer(
        [Path(log) for log in flags.logs],
        Path(flags.users) if flags.users else None,
        Path(flags.items) if flags.items else None,
        user_column=flags.user_column,
        item_column=flags.item_column,
        output=output,
    )
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"--output {output}: cannot be written ({error.strerror}); name another file") from None
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for doubt in unsure:
        console.print(f"  {doubt}", markup=False, style="yellow")
    command = next(line for line in text.splitlines() if "transforms.run" in line).removeprefix("#").strip()
    to_check = f"{len(unsure)} guess{'es' if len(unsure) != 1 else ''} to check; then" if unsure else "next"
    console.print(f"{output}: {to_check}: {command}", markup=False)


if __name__ == "__main__":
    sys.exit(run_command(main))
