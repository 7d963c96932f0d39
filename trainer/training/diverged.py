"""The batch at which training diverged, kept so that people can look at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from trainer.job import JobDirectory


def save_batch(
    job: JobDirectory, batch: Mapping[str, tf.Tensor], epoch: int, step: int, shard: tuple[int, int] = (0, 1)
) -> Path:
    """Write JOB/diverged/batch.npz, an array per column, and place.json with the epoch and the step in it, from 1.

    Each of several machines writes its own rows, into batch-<number>.npz.
    """
    folder = job.path / "diverged"
    folder.mkdir(parents=True, exist_ok=True)
    number, count = shard
    path = folder / ("batch.npz" if count == 1 else f"batch-{number}.npz")
    np.savez_compressed(path, **{name: values.numpy() for name, values in batch.items()})
    (folder / "place.json").write_text(json.dumps({"epoch": epoch, "step": step}) + "\n", encoding="utf-8")
    return path
