"""What people read on stderr: nothing of it is cut, whether it goes to a terminal, a file or a log collector."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from rich.console import Console
from rich.table import Column, Table

WIDE = 1000  # columns of a file: tables take what they need


def people_console() -> Console:
    """A console on stderr: as wide as the terminal, or as COLUMNS says; elsewhere wide enough for every table."""
    is_narrow = sys.stderr.isatty() or "COLUMNS" in os.environ
    return Console(stderr=True, highlight=False, width=None if is_narrow else WIDE)


def whole_table(*names: str) -> Table:
    """A table whose cells go on in the next line where a terminal is too narrow, instead of ending in dots."""
    return Table(*(Column(name, overflow="fold") for name in names))


def line_printer(console: Console) -> Callable[[str], None]:
    """Says a line of progress, in a quiet style, as it stands."""

    def say(line: str) -> None:
        console.print(line, style="dim", highlight=False, soft_wrap=True, markup=False)

    return say
