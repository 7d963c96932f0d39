"""How training went, by epoch, from the job's TensorBoard files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from trainer.evaluation.unvalidated import STEPS
from trainer.report.names import metric_name
from trainer.report.plots import Curve, lines
from trainer.report.results import JobResults

LOSS, VALIDATION = "epoch/loss", "validation/"


@dataclass(frozen=True)
class Plot:
    """A plot with what it says."""

    title: str
    svg: str
    note: str = ""


def learning_curves(results: JobResults) -> list[Plot]:
    """Loss and the monitored validation metric after each epoch; nothing for a model that has no epochs."""
    scalars = read_scalars(results.job.logs)
    monitor = results.config.train.monitor or next(
        (key.removeprefix("train/best_") for key in results.metrics if key.startswith("train/best_") and
         key != "train/best_epoch"), ""
    )  # fmt: skip
    best = results.metrics.get("train/best_epoch")
    plots = []
    for tag, label in ((LOSS, "training loss"), (VALIDATION + monitor, f"validation {metric_name(monitor)}")):
        points = scalars.get(tag, {})
        if points and tag != VALIDATION + STEPS:
            epochs = np.arange(1, len(points) + 1)
            curve = Curve(label, epochs, np.array([points[step] for step in sorted(points)]), has_dots=len(points) < 40)
            note = f"Dashed: epoch {best}, whose weights are evaluated." if best else ""
            plots.append(
                Plot(
                    label[0].upper() + label[1:],
                    lines([curve], "epoch", label, x_ticks=_ticks(len(points)), mark_x=best),
                    note,
                )
            )
    return plots


def read_scalars(logs: Path) -> dict[str, dict[int, float]]:
    """Tag → step → value of every scalar by epoch; where a resumed run wrote a step again, the later one counts."""
    found: dict[str, dict[int, float]] = {}
    for path in sorted(logs.glob("events.out.tfevents.*.v2")):
        try:
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                event = tf.compat.v1.Event.FromString(record)
                for value in event.summary.value:
                    if value.tag == LOSS or value.tag.startswith(VALIDATION):
                        found.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
        except tf.errors.DataLossError:  # a torn end, of a run that was killed
            continue
    return found


def _ticks(epochs: int) -> list[int]:
    """At most ten whole numbers."""
    width = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**9) if epochs <= 10 * step)
    return [1] if epochs == 1 else list(range(width, epochs + 1, width))
