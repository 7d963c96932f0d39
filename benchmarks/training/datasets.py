"""Datasets of prepared logs, written by the transforms once and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmarks.training.processes import make, run


def kept_dataset(name: str, content: dict[str, Any], logs: Path, work: Path) -> Path:
    """The dataset that `transforms.run` makes of the files in `logs`, or that of an earlier run.

    Args:
        name: of its directory below `work`/datasets; its dataset.yaml and log lie beside it.
        content: of dataset.yaml.
        logs: the directory of the log's files.
        work: where everything is kept.

    """
    place = work / "datasets"

    def write(target: Path) -> None:
        config = place / f"{name}.yaml"
        config.write_text(yaml.safe_dump(content), encoding="utf-8")
        command = ["-m", "transforms.run", "--config", str(config), "--input-dir", str(logs), "--output", str(target)]
        run(command, place / f"{name}.log")

    place.mkdir(parents=True, exist_ok=True)
    return make(place / name, write)
