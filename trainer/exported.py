"""What was exported of a job: not again while it is the same, and a copy where a scheduler looks for it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import tfrec
from tfrec.errors import ConfigError
from tfrec.export.saved_model import CARD, next_version
from trainer.config import load_job_config
from trainer.job import JobDirectory

SAVED_MODEL = "saved_model.pb"


def current_version(job: JobDirectory) -> Path | None:
    """The latest exported version, if it holds the weights that the job has now.

    Training is not run again once it is finished, so what it says of itself (`train/…` of the metrics) is the same to
    the last digit as long as the weights are.
    """
    config = load_job_config(job.config)
    base = job.export(config.model_name)
    latest = base / str(next_version(base) - 1)
    try:
        card = json.loads((latest / CARD).read_text(encoding="utf-8"))
        is_current = (
            (latest / SAVED_MODEL).exists()
            and card["dataset_fingerprint"] == config.dataset_fingerprint
            and card["config"] == config.model_dump(mode="json", serialize_as_any=True, include={*card["config"]})
            and card["versions"]["tfrec"] == tfrec.__version__
            and _of_training(card["metrics"]) == _of_training(job.read_metrics())
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return latest if is_current else None


def require_writable(target: Path) -> None:
    """Make the directory that a scheduler wants the model in, before anything is trained for it.

    Raises:
        ConfigError: it cannot be made or written.

    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        if os.access(target, os.W_OK):
            return
        reason = "Permission denied"
    except OSError as error:
        reason = error.strerror or str(error)
    raise ConfigError(f"AIP_MODEL_DIR {target}: cannot be written ({reason}); name another directory")


def copy_version(version: Path, target: Path) -> None:
    """Put a version directly into `target`, as Vertex AI wants it; saved_model.pb last: if it is there, all is.

    What an earlier run left of a model in `target` is replaced; other files stay.
    """
    target.mkdir(parents=True, exist_ok=True)
    (target / SAVED_MODEL).unlink(missing_ok=True)
    for entry in sorted(version.iterdir(), key=lambda entry: entry.name == SAVED_MODEL):
        place = target / entry.name
        if entry.is_dir():
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(entry, place)
        else:
            shutil.copyfile(entry, place)


def _of_training(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name.startswith("train/")}
