"""A job's model: built with fresh weights, or loaded with the best ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ArtifactError
from tfrec.models.base import Recommender, RetrievalModel, chosen
from tfrec.models.learning import FittedModel, GradientModel
from tfrec.models.registry import model_class
from trainer.config import JobConfig, load_job_config
from trainer.data import JobData, require_same_ids
from trainer.job import JobDirectory
from trainer.request.files import open_job_dataset
from trainer.training.calibrate import restore_calibration
from trainer.training.checkpoints import restore_best


def build_model(config: JobConfig, data: JobData) -> Recommender:
    """The model of a config, with fresh weights."""
    build: Any = model_class(config.model_name)
    inputs = data.model_inputs
    if chosen(build, "reads_user_ids", config.model):
        inputs = replace(inputs, user_ids=data.user_ids)
    if issubclass(build, GradientModel):
        model: Recommender = build(config.model, inputs, seed=config.seed)
    else:
        model = build(config.model, inputs)
        assert isinstance(model, FittedModel)
        model.seed = config.seed
    return model


def load_model(job: JobDirectory, dataset: str | None = None) -> tuple[Recommender, JobData, JobConfig]:
    """The trained model of a job, its dataset (or another one with the same ids) and its config.

    Raises:
        ArtifactError: no job, no dataset, or one of other features, vocabularies or items.

    """
    config = load_job_config(job.config)
    directory = DatasetDirectory(dataset) if dataset else open_job_dataset(config)
    if directory.fingerprint != config.dataset_fingerprint:
        if dataset is None:
            raise ArtifactError(f"{directory.path}: changed since {job.path} was trained on it; train again")
        require_same_ids(DatasetDirectory(config.dataset), directory)
    data = JobData(directory)
    # What a retrieval model knows of users and items comes from what it learnt from, whatever it is asked about.
    is_other = dataset is not None and directory.fingerprint != config.dataset_fingerprint
    has_users = issubclass(model_class(config.model_name), RetrievalModel)
    learnt_from = JobData(open_job_dataset(config)) if is_other and has_users else data
    model = build_model(config, learnt_from)
    if isinstance(model, GradientModel):
        restore_best(model, job)
        restore_calibration(model, job)
    else:
        assert isinstance(model, FittedModel)
        if learnt_from.dataset.fingerprint != config.dataset_fingerprint:
            raise ArtifactError(f"{config.dataset}: changed since {job.path} was trained on it; train again")
        model.fit(learnt_from.model_inputs)
    if isinstance(model, RetrievalModel):
        model.refresh()
    return model, data, config
