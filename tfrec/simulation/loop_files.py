"""A finished loop as a directory: the log, the settings that give it again, and the figures of each round."""

from __future__ import annotations

import csv
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from tfrec.errors import ConfigError
from tfrec.simulation.log_files import Format, write_log
from tfrec.simulation.loop import LoopConfig, LoopResult


def require_free(directory: Path) -> None:
    """Raise ConfigError where something stands already: a loop takes a while, and would be in vain."""
    if directory.exists():
        raise ConfigError(f"--output {directory}: exists already; name a new directory, or remove it")


def as_rows(result: LoopResult) -> list[dict[str, Any]]:
    """Figures of each round by name; None where a figure has no value (late items before there are any)."""
    rows = [asdict(figures) | {"illusion": figures.illusion} for figures in result.figures]
    return [{name: None if value != value else value for name, value in row.items()} for row in rows]


def write_loop(
    directory: Path, config: LoopConfig, seed: int, result: LoopResult, *, file_format: Format = "csv"
) -> None:
    """Write `events`, `items.csv`, `dataset.yaml`, `rounds.csv` and `config.yaml`; all of them or no directory."""
    require_free(directory)
    temporary = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    write_log(temporary, result.state.world, result.log, file_format=file_format)
    settings = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    (temporary / "config.yaml").write_text(f"# seed {seed}\n{settings}", encoding="utf-8")
    rows = as_rows(result)
    with (temporary / "rounds.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    temporary.rename(directory)
