"""One job from config to metrics: build, train or fit, evaluate."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from rich.console import Console

from tfrec.console import line_printer
from tfrec.models.base import Recommender
from tfrec.models.learning import FittedModel, GradientModel
from tfrec.models.registry import model_class
from trainer.checks.beyond_training import HELD_OUT, beyond_training, columns_read
from trainer.checks.claim import claim, require_same_job
from trainer.checks.preflight import preflight
from trainer.cluster.placement import Placement
from trainer.config import JobConfig
from trainer.data import JobData
from trainer.evaluation.choices import require_choices
from trainer.evaluation.metrics import evaluate_job
from trainer.evaluation.protocol import require_protocol
from trainer.evaluation.table import print_metrics
from trainer.evaluation.unvalidated import STEPS, Unvalidated
from trainer.evaluation.validation import Validation, monitor_of, monitors, require_monitor
from trainer.job import JobDirectory
from trainer.model import build_model
from trainer.request.files import open_job_dataset
from trainer.training.calibrate import calibrate
from trainer.training.fit import Trainer
from trainer.training.source import open_source
from trainer.warm_start.report import print_warm_start
from trainer.warm_start.start import warm_starts
from trainer.warm_start.vocabularies import keep_vocabulary
from trainer.watch.progress import EpochProgress
from trainer.watch.projector import write_projector


def make_deterministic(seed: int) -> None:
    """The same seed gives the same numbers on the same machine."""
    # Rows are distinct wherever something is scattered; on a GPU TensorFlow would copy whole tables to be sure.
    os.environ.setdefault("TF_DISABLE_SCATTER_OP_DETERMINISM", "1")
    random.seed(seed)
    np.random.seed(seed)
    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def run_job(
    config: JobConfig,
    job: JobDirectory,
    console: Console,
    *,
    placement: Placement | None = None,
    must_evaluate: bool = True,
    on_evaluated: Callable[[Recommender, JobData], None] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Train (or resume), evaluate, write metrics.json; return its content.

    Args:
        config: which model on which dataset.
        job: where everything goes.
        console: what people see.
        placement: on which devices and machines; one device of this process by default.
        must_evaluate: False: the test split is not looked at, and the content is what training says of itself.
        on_evaluated: is given the model with its best weights, and its data, after metrics.json is written.
        more: `on_epoch`, `interrupt` and `profile` of `Trainer`.

    Raises:
        ConfigError: the job directory holds another job.
        Stopped: a signal came, and what was trained is saved.

    """
    placement = placement or Placement("one")
    console = console if placement.is_chief else Console(quiet=True)
    dataset = open_job_dataset(config)
    require_same_job(config, job)
    preflight(config, dataset, placement)
    if config.train.monitor != STEPS:
        require_monitor(config.train.monitor, monitors(model_class(config.model_name), config.model, dataset.schema))
    if must_evaluate:
        require_protocol(config.evaluation, model_class(config.model_name).task, dataset)
        require_choices(job.baselines, dataset, config.evaluation)
    if placement.is_chief:
        claim(config, job)
    make_deterministic(config.seed)
    strategy = placement.strategy
    data = JobData(dataset)
    with strategy.scope():
        model = build_model(config, data)
    for beyond in beyond_training(data, columns_read(model), HELD_OUT if must_evaluate else ("validation",)):
        console.print(f"warning: {beyond}", style="yellow", highlight=False, soft_wrap=True, markup=False)
    if isinstance(model, GradientModel):
        _say_placement(placement, model, console)
        if placement.is_chief and not job.has_results:
            keep_vocabulary(job, dataset, model)
        if not job.has_results:
            for start in warm_starts(model, config, data):
                print_warm_start(console, start)
        training = make_trainer(model, config, data, job, console, placement, **more).run()
        train_seconds = training["training_seconds"]
    else:
        assert isinstance(model, FittedModel)
        started = time.perf_counter()
        model.fit(data.model_inputs)
        train_seconds = round(time.perf_counter() - started, 2)
        training = {} if must_evaluate else _validated(model, config, data)
    if not placement.is_chief:
        return {}
    calibrate(model, data, job)
    say = line_printer(console)
    metrics = evaluate_job(model, data, config.evaluation, job, say=say) if must_evaluate else {}
    protocol = metrics.pop("protocol", {})
    if config.train.projector:
        write_projector(model, data, job.logs)
    said = {f"train/{k}": v for k, v in training.items()} | {"cost/train_seconds": train_seconds}
    content = {**metrics, **said, "protocol": protocol}
    job.write_metrics(content)
    if must_evaluate:
        print_metrics(console, config.model_name, content)
        if on_evaluated is not None:
            on_evaluated(model, data)
    return content


def _validated(model: Recommender, config: JobConfig, data: JobData) -> dict[str, Any]:
    """What a model that has no epochs says of itself to those who compare its settings."""
    validation = Validation(model, data, config.evaluation)
    monitor = monitor_of(validation, config.train.monitor)
    return {f"best_{monitor}": validation()[monitor]}


def _say_placement(placement: Placement, model: GradientModel, console: Console) -> None:
    if placement.name != "one":
        split = sum("/part_1:" in variable.name for variable in model.trainable_variables)
        tables = f", {split} variables split by rows" if split else ""
        console.print(f"{placement.summary}{tables}", style="dim", highlight=False)


def make_trainer(
    model: GradientModel,
    config: JobConfig,
    data: JobData,
    job: JobDirectory,
    console: Console,
    placement: Placement,
    **more: Any,
) -> Trainer:
    """The trainer of a job; `more` goes to `Trainer`.

    Raises:
        ConfigError: the monitored metric does not exist, or the validation split is empty.

    """
    source = open_source(data, model.train_columns(), config, placement)
    is_measured = config.train.monitor != STEPS
    validation = Validation(model, data, config.evaluation) if is_measured else Unvalidated(model)
    monitor = monitor_of(validation, config.train.monitor)
    progress = EpochProgress(console)
    return Trainer(model, source, config.train, job, validation, monitor, progress, placement=placement, **more)
