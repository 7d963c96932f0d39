"""`--dry-run`: everything that can be known before training is checked, two steps are run, and nothing is kept."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import tensorflow as tf
from rich.console import Console

from tfrec.errors import DataError
from tfrec.models.learning import GradientModel
from tfrec.models.registry import model_class
from trainer.checks.claim import require_same_job
from trainer.checks.memory import machine, memory_need, smallest_gpu
from trainer.checks.need_table import need_as_json, print_need
from trainer.checks.preflight import preflight
from trainer.checks.values import require_vocabularies
from trainer.cluster.placement import Placement
from trainer.config import JobConfig
from trainer.data import JobData
from trainer.evaluation.choices import require_choices
from trainer.evaluation.protocol import require_protocol
from trainer.evaluation.unvalidated import STEPS as MONITOR_OF_STEPS
from trainer.evaluation.validation import Validation, monitors, require_monitor
from trainer.job import JobDirectory
from trainer.model import build_model
from trainer.request.files import open_job_dataset
from trainer.run import make_deterministic
from trainer.training.optimizer import loss_scaled, make_optimizer
from trainer.training.replica_step import ReplicaStep
from trainer.training.source import open_source
from trainer.training.steps import SynchronousSteps
from trainer.warm_start.report import print_warm_start
from trainer.warm_start.start import warm_starts

STEPS = 2


@dataclass(frozen=True)
class StepReport:
    """One step: its loss, and how long it took (the first with tracing)."""

    loss: float
    seconds: float


def dry_run(
    config: JobConfig, job: JobDirectory, console: Console, placement: Placement | None = None
) -> dict[str, Any]:
    """Check data, config and memory, run two steps; return what was found.

    Args:
        config: of the job.
        job: where a real run would write.
        console: what people see.
        placement: of the real run: over how many servers its tables are divided. The steps run on one device.

    Raises:
        TfrecError: what a real run would stumble over.

    """
    require_same_job(config, job)
    dataset = open_job_dataset(config)
    devices = [device for device in (machine(), smallest_gpu()) if device is not None]
    print_need(console, config, memory_need(config, dataset), devices)
    need = preflight(config, dataset, placement or Placement("one"))
    task = model_class(config.model_name).task
    require_protocol(config.evaluation, task, dataset)
    require_choices(job.baselines, dataset, config.evaluation)
    if config.train.monitor != MONITOR_OF_STEPS:
        require_monitor(config.train.monitor, monitors(model_class(config.model_name), config.model, dataset.schema))
    require_vocabularies(dataset)
    data = JobData(dataset)
    for split in ("validation", "test"):
        data.split(split)  # what is read is checked
    rows = {split: dataset.rows(split) for split in ("train", "validation", "test")}
    console.print("rows: " + " · ".join(f"{split} {count:,}" for split, count in rows.items()), highlight=False)
    make_deterministic(config.seed)
    model = build_model(config, data)
    shapes: dict[str, str] = {}
    steps: list[StepReport] = []
    if isinstance(model, GradientModel):
        if config.train.monitor != MONITOR_OF_STEPS:
            Validation(model, data, config.evaluation)
        if not job.has_results:
            for start in warm_starts(model, config, data):
                print_warm_start(console, start)
        shapes, steps = _two_steps(model, config, data)
    for name, shape in shapes.items():
        console.print(f"  {name:<20} {shape}", highlight=False)
    for number, step in enumerate(steps, start=1):
        tracing = " with tracing" if number == 1 else ""
        console.print(f"step {number}: loss {step.loss:.4f}, {step.seconds:.3f} s{tracing}", highlight=False)
    console.print(f"nothing was written to {job.path}", highlight=False, soft_wrap=True)
    found = {"memory": need_as_json(need, devices), "rows": rows, "batch": shapes}
    return {**found, "steps": [asdict(step) for step in steps]}


def _two_steps(model: GradientModel, config: JobConfig, data: JobData) -> tuple[dict[str, str], list[StepReport]]:
    """Shapes of the batch, and both steps, as training would take them on one device."""
    placement = Placement("one")
    source = open_source(data, model.train_columns(), config, placement)
    model.compute_type = tf.as_dtype(config.train.precision)
    optimizer = loss_scaled(make_optimizer(config.train, model, source.steps_per_epoch), config.train)
    model.compile(optimizer=optimizer)
    runner = SynchronousSteps(ReplicaStep(model, optimizer, xla=config.train.xla), source, placement)
    steps = []
    with source.explained_errors():
        batches = runner.batches(0)
        for number in range(1, STEPS + 1):
            done = runner.run(batches, 1)
            steps.append(StepReport(done.loss_sum, round(done.seconds, 4)))
            if not math.isfinite(done.loss_sum):
                raise DataError(f"the loss is {done.loss_sum} in step {number}; lower train.learning_rate")
        first = next(iter(source.epoch(0)))
    return {name: f"{value.dtype.name} {list(value.shape)}" for name, value in sorted(first.items())}, steps
