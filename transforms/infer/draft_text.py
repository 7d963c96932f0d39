"""A draft as the text of a dataset.yaml, with the reasons as comments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from transforms.infer.dialect import Dialect, Table
from transforms.infer.guess import Draft, Line

_WRAP = 110
_ODD = 0.01  # the default of max_rejected_share


def draft_text(draft: Draft, tables: Mapping[str, Table], files: Mapping[str, list[str]], name: str, run: str) -> str:
    """The text of the file.

    Args:
        draft: all that was guessed.
        tables: `events` and, where given, `users` and `items`.
        files: their file names below --input-dir.
        name: of the dataset.
        run: the command that uses the file.

    """
    sampled = " · ".join(f"{table.sample.names} ({table.rows:,} rows)" for table in tables.values())
    lines = [
        f"# Guessed by python -m transforms.infer from the first rows: {_one_line(sampled)}.",
        '# Every guess says why; "unsure" marks what to look at first. Then:',
        f"#   {_one_line(run)}",
        f"name: {flow(name)}",
    ]
    for part, table in tables.items():
        lines += _table_lines(part, table, files[part], draft.columns.get(part))
    lines.append("features:")
    lines += [_with_comment(f"  {flow(key)}: {flow(line.value)}", line.why) for key, line in draft.features.items()]
    lines += [f"  # not used: {_one_line(reason)}" for reason in draft.unused]
    for key, line in (("label", draft.label), ("timestamp", draft.timestamp), ("split", draft.split)):
        if line is not None:
            lines.append(_with_comment(f"{key}: {flow(line.value)}", line.why))
    lines += [f"# {_one_line(note)}" for note in draft.notes]
    return "\n".join(lines) + "\n"


def doubts(draft: Draft, tables: Mapping[str, Table]) -> list[str]:
    """All that is marked unsure, for people at the terminal."""
    found: dict[str, Line] = {**draft.features, "split": draft.split}
    found |= {key: line for key, line in (("label", draft.label), ("timestamp", draft.timestamp)) if line is not None}
    headers = [f"{part}.header: {table.dialect.header_why}" for part, table in tables.items()]
    headers += [
        f"{part}.{'delimiter' if table.dialect.format == 'csv' else 'format'}: {_even_lines(table.dialect)}"
        for part, table in tables.items()
    ]
    lines = [f"{key}: {line.why}" for key, line in found.items()]
    return [_one_line(line) for line in headers + lines + draft.notes if "unsure" in line]


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("...").removesuffix("\n")


def _table_lines(part: str, table: Table, files: list[str], columns: tuple[str, ...] | None) -> list[str]:
    dialect = table.dialect
    lines = [f"{part}:", f"  files: {flow(files)}"]
    if dialect.format != "csv":
        lines.append(_with_comment(f"  format: {dialect.format}", _even_lines(dialect)))
        if dialect.rare:
            lines.append(
                _with_comment(f"  columns: {flow(list(dialect.rare))}", "keys that the first rows do not have")
            )
        return lines
    lines.append(_with_comment(f"  delimiter: {_quoted(dialect.delimiter)}", _even_lines(dialect)))
    lines.append(_with_comment(f"  header: {flow(dialect.header is not None)}", dialect.header_why))
    if columns is not None:
        lines.append(_with_comment(f"  columns: {flow(list(columns))}", "give them better names if you like"))
    if dialect.quote is None:
        lines.append("  quote: null  # quotes are ordinary characters: no cell of the sample is quoted")
    if table.sample.encoding != "utf-8":
        lines.append(f"  encoding: {table.sample.encoding}  # not valid UTF-8")
    return lines


def _even_lines(dialect: Dialect) -> str:
    if dialect.format == "parquet":
        return ""
    why = "lines are JSON objects" if dialect.format == "jsonl" else f"lines have {dialect.columns} columns"
    if dialect.odd_share > 0:
        verb = "are" if dialect.format == "jsonl" else "have"
        why += f", but {dialect.odd_share:.1%} of them {verb} not and will be rejected"
    if dialect.odd_share > _ODD:
        why = f"unsure: {why}; that is above max_rejected_share, so the run fails"
    return why


def _with_comment(text: str, why: str) -> str:
    """The comment behind the text, or above it where the line would be long."""
    why = _one_line(why)
    if not why:
        return text
    if len(text) + len(why) + 4 <= _WRAP:
        return f"{text}  # {why}"
    indent = text[: len(text) - len(text.lstrip())]
    return f"{indent}# {why}\n{text}"


def _quoted(sign: str) -> str:
    return '"\\t"' if sign == "\t" else f'"{sign}"'


def _one_line(text: str) -> str:
    """A comment cannot hold an end of line, nor characters that YAML does not allow."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
