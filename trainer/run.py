"""One job from config to metrics: build, train or fit, evaluate."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import tensorflow as tf
from rich.console import Console

from tfrec.dataset.batches import Batches
from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ConfigError, did_you_mean
from tfrec.models.base import FittedModel, GradientModel
from trainer.config import JobConfig, load_job_config
from trainer.data import JobData
from trainer.fit import Trainer
from trainer.job import JobDirectory
from trainer.metrics import PROTOCOL, evaluate_job, print_metrics
from trainer.model import build_model
from trainer.progress import EpochProgress
from trainer.validation import Validation


def make_deterministic(seed: int) -> None:
    """The same seed gives the same numbers on the same machine."""
    random.seed(seed)
    np.random.seed(seed)
    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def run_job(config: JobConfig, job: JobDirectory, console: Console) -> dict[str, Any]:
    """Train (or resume), evaluate, write metrics.json; return its content.

    Raises:
        ConfigError: the job directory holds another job.

    """
    _claim(config, job)
    make_deterministic(config.seed)
    data = JobData(DatasetDirectory(config.dataset))
    model = build_model(config, data)
    if isinstance(model, GradientModel):
        training = _train(model, config, data, job, console)
    else:
        assert isinstance(model, FittedModel)
        model.fit(data.model_inputs)
        training = {}
    metrics = evaluate_job(model, data)
    content = {**metrics, **{f"train/{k}": v for k, v in training.items()}, "protocol": PROTOCOL}
    job.write_metrics(content)
    print_metrics(console, config.model_name, metrics)
    return content


def _claim(config: JobConfig, job: JobDirectory) -> None:
    """A job directory belongs to one config, once an epoch is finished: another one would mix two runs."""
    if job.config.exists() and job.has_results:
        earlier = load_job_config(job.config)
        if earlier.dataset_fingerprint != config.dataset_fingerprint:
            raise ConfigError(f"--job-dir {job.path}: was trained on another dataset; name a new directory")
        ours, theirs = config.model_dump(serialize_as_any=True), earlier.model_dump(serialize_as_any=True)
        for key in ("model_name", "seed", "model", "train"):
            if ours[key] != theirs[key]:
                raise ConfigError(
                    f"--job-dir {job.path}: holds a job with another '{key}' ({theirs[key]}); name a new directory"
                )
    job.path.mkdir(parents=True, exist_ok=True)
    config.save(job.config)


def _train(
    model: GradientModel, config: JobConfig, data: JobData, job: JobDirectory, console: Console
) -> dict[str, Any]:
    columns = {name: data.train[name] for name in sorted(model.train_columns())}
    batches = Batches(columns, config.train.batch_size, config.seed)
    validation = Validation(model, data)
    monitor = config.train.monitor or validation.default_monitor
    if monitor not in validation.names:
        raise ConfigError(f"train.monitor: no metric {monitor!r}{did_you_mean(monitor, validation.names)}")
    trainer = Trainer(model, batches, config.train, job, validation, monitor, EpochProgress(console))
    return trainer.run()
