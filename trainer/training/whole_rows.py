"""Batches of whole users or items, or of all events of whole requests or users, for models that learn from those."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from tfrec.dataset.batches import Batches
from tfrec.dataset.group_batches import GroupBatches
from tfrec.dataset.interactions import Interactions
from tfrec.errors import ConfigError
from tfrec.models.base import chosen
from tfrec.models.learning import GradientModel, TrainingRows
from tfrec.models.registry import model_class
from tfrec.schema import ITEM_INDEX, REQUEST_ID, USER_INDEX
from trainer.cluster.placement import Placement
from trainer.config import JobConfig
from trainer.data import JobData
from trainer.evaluation.event_metrics import request_groups


def training_rows(config: JobConfig) -> TrainingRows:
    """What a row of a batch is to the model of a config; "events" for one that takes no batches."""
    found = model_class(config.model_name)
    rows: TrainingRows = chosen(found, "training_rows", config.model) if issubclass(found, GradientModel) else "events"
    return rows


def require_whole_rows(config: JobConfig, placement: Placement) -> None:
    """Refuse what only rows of events can do.

    Raises:
        ConfigError: the rows are users or items or come in groups, and are to be streamed or divided among parameter
            servers.

    """
    rows: str = training_rows(config)
    if rows == "events":
        return
    rows = f"groups of events (model.loss={getattr(config.model, 'loss', None)})" if rows == "groups" else rows
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


def whole_groups(
    data: JobData, columns: Collection[str], config: JobConfig, shard: tuple[int, int] = (0, 1)
) -> GroupBatches:
    """Training events in batches of whole requests, or users where the log has none or the config names them.

    An event without a request id is compared with no other.

    Args:
        data: of the job.
        columns: that the model learns from.
        config: of the job.
        shard: (number, how many) of this process.

    Raises:
        ConfigError: there are more workers than groups in a batch.

    """
    within = getattr(config.model, "loss_within", None) or ("user" if data.schema.request is None else "request")
    name = REQUEST_ID if within == "request" else USER_INDEX
    records = data.columns("train", sorted({*columns, name}))
    served = {column: records[column] for column in sorted(columns)}
    groups = request_groups(records[name]) if name == REQUEST_ID else records[name]
    return GroupBatches(served, groups, config.train.batch_size, config.seed, shard=shard)
