"""Batches of whole users or items, of all events of whole requests or users, or of windows of users' events."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from tfrec.dataset.batches import Batches
from tfrec.dataset.group_batches import GroupBatches
from tfrec.dataset.interactions import Interactions
from tfrec.dataset.window_batches import WindowBatches
from tfrec.errors import ConfigError, DataError
from tfrec.models.base import chosen
from tfrec.models.learning import GradientModel, TrainingRows
from tfrec.models.registry import model_class
from tfrec.schema import (
    EVENT_POSITION,
    ITEM_INDEX,
    LABEL,
    REQUEST_ID,
    SESSION_INDEX,
    USER_INDEX,
    Schema,
    SequenceFeature,
)
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
    if rows == "groups":
        rows = f"groups of events (model.loss={getattr(config.model, 'loss', None)})"
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


def whole_windows(
    data: JobData, columns: Collection[str], config: JobConfig, shard: tuple[int, int] = (0, 1)
) -> WindowBatches:
    """Training events in packed windows of what the schema's history holds: events of a user, or of a session.

    Args:
        data: of the job.
        columns: that the model learns from.
        config: of the job.
        shard: (number, how many) of this process.

    Raises:
        ConfigError: there are more workers than rows in a batch.
        DataError: there is nothing to predict: no sequence has two events.

    """
    schema = data.schema
    within_session, positive_only = _history_is(schema)
    found = model_class(config.model_name)
    assert issubclass(found, GradientModel)
    windows = found.windows(config.model, schema)
    extra = [SESSION_INDEX] * within_session + [LABEL] * positive_only
    records = data.columns("train", sorted({*columns, USER_INDEX, EVENT_POSITION, *extra}))
    if positive_only:
        is_positive = records[LABEL] > 0
        records = {name: values[is_positive] for name, values in records.items()}
    sequences = records[USER_INDEX]
    if within_session:
        sessions = records[SESSION_INDEX].astype(np.int64)
        sequences = sequences * (sessions.max(initial=0) + 1) + sessions
    served = {column: records[column] for column in sorted(columns)}
    batch_size, positions = config.train.batch_size, records[EVENT_POSITION]
    batches = WindowBatches(served, sequences, positions, windows, batch_size, config.seed, shard=shard)
    if not batches.rows:
        raise DataError(f"{data.dataset.path}: no {'session' if within_session else 'user'} has two training events")
    return batches


def _history_is(schema: Schema) -> tuple[bool, bool]:
    """Whether the schema's history holds events of a session alone, and whether positive ones alone."""
    feature = None if schema.history is None else schema.features[schema.history]
    if not isinstance(feature, SequenceFeature):
        return False, False
    return feature.within == "session", feature.labels == "positive" and schema.label is not None
