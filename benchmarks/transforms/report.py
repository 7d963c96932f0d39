"""What was measured of one contender, and the table of all."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.transforms.measure import Usage


@dataclass(frozen=True)
class Result:
    """All runs of one contender; rates are of the run with the median CPU time, imports included."""

    contender: str
    rows: int
    runs: tuple[Usage, ...]
    imports: Usage
    written_bytes: int
    checked: dict[str, Any]

    @property
    def median(self) -> Usage:
        return sorted(self.runs, key=lambda run: run.cpu_seconds)[len(self.runs) // 2]

    @property
    def rows_per_cpu_second(self) -> float:
        return self.rows / self.median.cpu_seconds

    @property
    def rows_per_cpu_second_without_imports(self) -> float:
        return self.rows / max(self.median.cpu_seconds - self.imports.cpu_seconds, 1e-9)

    @property
    def rows_per_wall_second(self) -> float:
        return self.rows / statistics.median(run.wall_seconds for run in self.runs)

    @property
    def peak_bytes(self) -> int:
        return max(run.peak_bytes for run in self.runs)

    @property
    def is_shuffled(self) -> bool:
        return abs(self.checked["order_correlation"]) <= self.checked["order_correlation_expected"]

    def to_json(self, plain: Result | None) -> dict[str, Any]:
        return asdict(self) | {
            "rows_per_cpu_second": self.rows_per_cpu_second,
            "rows_per_cpu_second_without_imports": self.rows_per_cpu_second_without_imports,
            "rows_per_wall_second": self.rows_per_wall_second,
            "peak_bytes": self.peak_bytes,
            "is_shuffled": self.is_shuffled,
            "ratio_to_plain": ratio(self, plain),
        }


def ratio(result: Result, plain: Result | None) -> float | None:
    """Rows per CPU second against the plain pipeline, whose imports are left out because it gets fewer rows."""
    if plain is None or result is plain:
        return None
    return result.rows_per_cpu_second / plain.rows_per_cpu_second_without_imports


def print_table(results: list[Result], title: str) -> None:
    """One row for each contender."""
    plain = next((result for result in results if result.contender == "plain"), None)
    table = Table(title=title, title_justify="left")
    table.add_column("contender")
    for name in ("rows", "wall s", "CPU s", "of it imports", "rows/s CPU", "rows/s wall", "× plain", "peak MB",
                 "written MB", "place ~ time"):  # fmt: skip
        table.add_column(name, justify="right")
    for result in results:
        times = ratio(result, plain)
        order = f"{result.checked['order_correlation']:+.4f}"
        table.add_row(
            result.contender,
            f"{result.rows:,}",
            _spread([run.wall_seconds for run in result.runs]),
            _spread([run.cpu_seconds for run in result.runs]),
            f"{result.imports.cpu_seconds:.1f}",
            f"{result.rows_per_cpu_second:,.0f}",
            f"{result.rows_per_wall_second:,.0f}",
            "" if times is None else f"{times:.1f}",
            f"{result.peak_bytes / 1e6:,.0f}",
            f"{result.written_bytes / 1e6:,.0f}",
            order if result.is_shuffled else f"{order} not shuffled",
        )
    console = Console(width=None if Console().is_terminal else 160)
    console.print(table)
    console.print(
        "One core, one thread. Rates are of the median run and include imports. × plain: rows/s CPU with imports"
        " against those of the plain pipeline without them, which is measured on fewer rows: its cost is per row."
        " place ~ time: rank correlation in the training file where it is largest.",
        style="dim",
    )


def _spread(values: list[float]) -> str:
    middle = statistics.median(values)
    return f"{middle:.1f}" if len(values) == 1 else f"{middle:.1f} ({min(values):.1f}–{max(values):.1f})"
