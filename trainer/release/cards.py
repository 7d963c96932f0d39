"""The card of a job's export."""

from __future__ import annotations

from typing import Any

from tfrec.export import ModelCard
from tfrec.export.attribute_filters import AttributeFilter
from tfrec.models.base import Recommender
from trainer.config import JobConfig
from trainer.data import JobData
from trainer.job import JobDirectory


def settings_of(config: JobConfig) -> dict[str, Any]:
    """What decides a job's weights besides its data."""
    return config.model_dump(mode="json", serialize_as_any=True, include={"model", "train", "seed"})


def metrics_of(job: JobDirectory) -> dict[str, Any]:
    return {key: value for key, value in job.read_metrics().items() if key != "protocol"}


def job_card(
    job: JobDirectory,
    model: Recommender,
    data: JobData,
    config: JobConfig,
    filters: tuple[AttributeFilter, ...] = (),
) -> ModelCard:
    """What one model is, and what it was made from."""
    return ModelCard(
        model_name=config.model_name,
        task=model.task,
        schema_fingerprint=data.schema.fingerprint,
        dataset=data.schema.name,
        dataset_fingerprint=config.dataset_fingerprint,
        config=settings_of(config),
        metrics=metrics_of(job),
        num_users=data.dataset.rows("users"),
        num_items=data.catalogue.size,
        filters=filters,
    )
