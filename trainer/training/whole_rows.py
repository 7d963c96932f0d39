"""Batches of whole users or items, for models that look the rest up in their training interactions."""

from __future__ import annotations

import numpy as np

from tfrec.dataset.batches import Batches
from tfrec.dataset.interactions import Interactions
from tfrec.errors import ConfigError
from tfrec.models.base import chosen
from tfrec.models.learning import GradientModel, TrainingRows
from tfrec.models.registry import model_class
from tfrec.schema import ITEM_INDEX, USER_INDEX
from trainer.cluster.placement import Placement
from trainer.config import JobConfig


def training_rows(config: JobConfig) -> TrainingRows:
    """What a row of a batch is to the model of a config; "events" for one that takes no batches."""
    found = model_class(config.model_name)
    rows: TrainingRows = chosen(found, "training_rows", config.model) if issubclass(found, GradientModel) else "events"
    return rows


def require_whole_rows(config: JobConfig, placement: Placement) -> None:
    """Refuse what only rows of events can do.

    Raises:
        ConfigError: the rows are users or items, and are to be streamed or divided among parameter servers.

    """
    rows = training_rows(config)
    if rows == "events":
        return
    if config.train.input == "stream":
        raise ConfigError(
            f"train.input=stream: {config.model_name} learns from whole {rows}, which it keeps in memory; set it to "
            "auto or memory"
        )
    if placement.name == "parameter-server":
        raise ConfigError(
            f"--strategy parameter-server: its workers read files of events, and {config.model_name} learns from "
            f"whole {rows}; use one, mirrored or multi-worker"
        )


def whole_rows(train: Interactions, rows: TrainingRows, batch_size: int, seed: int, shard: tuple[int, int]) -> Batches:
    """Every user (item) with training events once an epoch; batches of `USER_INDEX` (`ITEM_INDEX`) alone, int64."""
    counts = np.diff(train.row_splits) if rows == "users" else train.item_counts()
    name = USER_INDEX if rows == "users" else ITEM_INDEX
    return Batches({name: np.flatnonzero(counts).astype(np.int64)}, batch_size, seed, shard=shard)
