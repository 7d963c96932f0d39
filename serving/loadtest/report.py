"""A load test for people: a table, and a page that needs no other file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import jinja2
from rich import box
from rich.table import Table

from serving.loadtest import plots
from serving.loadtest.outcome import Outcome
from serving.loadtest.stage import Stage
from tfrec.errors import ConfigError

Run = tuple[Stage, Outcome]
SHOWN = ((50.0, "p50"), (90.0, "p90"), (99.0, "p99"), (99.9, "p99.9"), (100.0, "max"))
_FAILED = "failed"
_LATE_MS = 5.0  # of the generator's own: above it, it measures itself


def warnings_of(runs: Sequence[Run]) -> list[str]:
    """What makes the figures less than they seem."""
    found = []
    for stage, outcome in runs:
        late = outcome.lateness.percentile(99) / 1e3
        if late > _LATE_MS:
            found.append(
                f"{stage.name}: one request in a hundred was sent {late:.0f} ms late or later: this load generator is "
                "at its limit, not only the server; add --processes"
            )
        if not outcome.answered:
            found.append(f"{stage.name}: no request was answered")
    return found


def table_of(runs: Sequence[Run]) -> Table:
    """The stages as a table for the terminal."""
    # Narrow: where a log is written the console has 80 columns, and what does not fit is cut.
    table = Table(box=box.SIMPLE_HEAD, padding=0)
    table.add_column("stage", min_width=7)
    for name in ("answers/s", "requests", _FAILED, *(name for _, name in SHOWN), "late p99"):
        # Of numbers two words alone may stand below each other: 12 (0.02%).
        table.add_column(name, justify="right", no_wrap=name != _FAILED, min_width=8 if name == _FAILED else None)
    for run in runs:
        table.add_row(*_row(run))
    return table


def write_page(path: Path, target: str, asked: str, runs: Sequence[Run]) -> None:
    """Write the page; an existing one is replaced. Raises ConfigError where it cannot be written."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "page")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    text = environment.get_template("report.html").render(
        target=target,
        asked=asked,
        warnings=warnings_of(runs),
        percentiles=[name for _, name in SHOWN],
        rows=[_row(run) for run in runs],
        curves=plots.percentile_curves([stage.name for stage, _ in runs], [outcome for _, outcome in runs]),
        stages=[
            {
                "name": stage.name,
                "failures": dict(sorted(outcome.failures.items())),
                "versions": dict(sorted(outcome.versions.items())),
                "plot": plots.over_time(outcome),
            }
            for stage, outcome in runs
        ],
    )
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--html: {path}: cannot be written ({error.strerror}); name another file") from None


def _row(run: Run) -> list[str]:
    stage, outcome = run
    times = [_milliseconds(outcome.response.percentile(percent)) for percent, _ in SHOWN]
    late = _milliseconds(outcome.lateness.percentile(99))
    failed = f"{sum(outcome.failures.values())} ({outcome.failed_share:.2%})" if outcome.failures else "0"
    return [stage.name, f"{outcome.answers_per_second:.0f}", str(outcome.requests), failed, *times, late]


def _milliseconds(microseconds: float) -> str:
    """Three digits, or all before the point."""
    if math.isnan(microseconds):
        return "–"
    found = microseconds / 1e3
    return f"{found:.{2 if found < 9.995 else 1 if found < 99.95 else 0}f}"
