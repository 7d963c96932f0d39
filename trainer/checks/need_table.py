"""The memory that a job needs, for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.filesize import decimal

from tfrec.console import whole_table
from tfrec.models.learning import GradientModel
from tfrec.models.registry import model_class
from trainer.checks.memory import Device, Need
from trainer.config import JobConfig


def print_need(console: Console, config: JobConfig, need: Need, devices: list[Device]) -> None:
    """Say what is needed, table by table; of a model that is solved, what solving takes."""
    is_trained = issubclass(model_class(config.model_name), GradientModel)
    if need.tables:
        _print_tables(console, need, is_trained)
    sizes = " · ".join(f"{name} {count:,}" for name, count in need.largest_vocabularies.items())
    parts = [f"tables {decimal(need.table_bytes)}"] if need.tables else []
    if is_trained:
        parts.append(f"activations of {config.train.batch_size:,} rows, about, {decimal(need.activation_bytes)}")
    parts.append(f"data {decimal(need.data_bytes)}")
    total = f" = {decimal(need.total_bytes)}" if len(parts) > 1 else ""
    lines = (
        f"most ids: {sizes}" if sizes else "",
        " + ".join(parts) + total,
        "" if is_trained else f"{config.model_name} is solved in one go: no batches, no optimiser",
        *(f"free on {device.name}: {decimal(device.free_bytes)}" for device in devices),
    )
    for line in filter(None, lines):
        console.print(line, highlight=False, soft_wrap=True)


def _print_tables(console: Console, need: Need, is_trained: bool) -> None:
    kept = ("table", "optimizer", "average") if is_trained else ()  # what is kept for each weight, where it is trained
    words = ("bytes", "optimiser", "average") if is_trained else ()
    table = whole_table("table", "rows", "width", *words, "together" if is_trained else "bytes")
    for column in table.columns[1:]:
        column.justify = "right"
    for one in need.tables:
        each = (*(getattr(one, f"{what}_bytes") for what in kept), one.total_bytes)
        table.add_row(one.name, f"{one.rows:,}", f"{one.width:,}", *map(decimal, each))
    table.add_section()
    sums = [sum(getattr(one, f"{what}_bytes") for one in need.tables) for what in kept]
    table.add_row("together", "", "", *map(decimal, [*sums, need.table_bytes]))
    console.print(table)


def need_as_json(need: Need, devices: list[Device]) -> dict[str, Any]:
    return {**asdict(need), "total_bytes": need.total_bytes, "free_bytes": {d.name: d.free_bytes for d in devices}}
