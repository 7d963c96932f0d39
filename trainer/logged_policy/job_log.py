"""Logged impressions with a job as the target policy: a split of a dataset, or a log file with the same ids."""

from __future__ import annotations

import numpy as np

from tfrec.dataset.directory import RAW_PREFIX
from tfrec.dataset.records import Arrays, read_part
from tfrec.errors import ConfigError, DataError
from tfrec.models.base import Recommender
from tfrec.off_policy import LoggedActions
from tfrec.off_policy.log import row_name
from tfrec.schema import ITEM_INDEX, LABEL, PROPENSITY, REQUEST_ID, USER_INDEX
from trainer.data import JobData
from trainer.logged_policy.choice import Choice
from trainer.logged_policy.job_policy import Candidates, default_candidates, target_policy
from trainer.logged_policy.table import LogTable


def actions_of_split(
    model: Recommender, data: JobData, split: str, choice: Choice, candidates: Candidates | None
) -> LoggedActions:
    """The events of a split; rewards are the labels, rows of a user depend on each other.

    Raises:
        ConfigError: the records have no propensities.
        DataError: the split is empty.

    """
    if PROPENSITY not in data.schema.extra_fields:
        raise ConfigError(
            f"{data.dataset.path}: its records have no propensities; add 'propensity: {{column: …}}' to dataset.yaml "
            "and run the transforms again"
        )
    records = data.split(split)
    if not len(records[LABEL]):
        raise DataError(f"{data.dataset.path}: the {split} split is empty; choose another with --split")
    requests = None
    if REQUEST_ID in records:
        _, requests = np.unique(records[REQUEST_ID], return_inverse=True)
    policy = target_policy(model, data, records, choice, candidates or default_candidates(model), requests)
    return LoggedActions(
        records[LABEL],
        records[PROPENSITY],
        policy.probabilities,
        records[USER_INDEX],
        policy.logged_predictions,
        policy.target_predictions,
    )


def actions_of_file(
    model: Recommender,
    data: JobData,
    table: LogTable,
    choice: Choice,
    candidates: Candidates | None,
    *,
    user: str,
    item: str,
    reward: str,
    propensity: str,
    request: str | None,
) -> LoggedActions:
    """The rows of a log file. Users are as the dataset's users/ has them, with their latest history.

    Raises:
        ConfigError: the model reads features of the event, which a log file does not give.
        DataError: a user or item that the dataset lacks.

    """
    rewards, propensities, labels = table.numbers(reward), table.probabilities(propensity), table.labels(request)
    users = read_part(data.dataset, "users")
    user_rows = _rows_of(table, user, users.pop(RAW_PREFIX + data.schema.user_id), "user")
    item_rows = _rows_of(table, item, data.catalogue.ids, "item")
    records: Arrays = {name: values[user_rows] for name, values in users.items()}
    records |= {name: values[item_rows] for name, values in data.catalogue.features.items()}
    records[ITEM_INDEX] = item_rows
    missing = sorted(model.required_features - records.keys())
    if missing:
        raise ConfigError(
            f"the model reads {missing[0]!r}, a feature of the event, which users/ and items/ do not hold; write the "
            "log as a dataset with python -m transforms.run, and give --dataset"
        )
    policy = target_policy(model, data, records, choice, candidates or default_candidates(model), labels)
    return LoggedActions(
        rewards,
        propensities,
        policy.probabilities,
        records[USER_INDEX],
        policy.logged_predictions,
        policy.target_predictions,
    )


def _rows_of(table: LogTable, column: str, ids: np.ndarray, what: str) -> np.ndarray:
    order = np.argsort(ids)
    wanted = table.texts(column)
    place = np.minimum(np.searchsorted(ids[order], wanted), len(ids) - 1)
    rows: np.ndarray = order[place]
    unknown = ids[rows] != wanted
    if unknown.any():
        first = int(np.argmax(unknown))
        raise DataError(
            f"{table.path}: {row_name(first)} has the {what} {wanted[first].decode()!r}, which the dataset lacks, as "
            f"{int(unknown.sum())} rows do; leave them out, or add them to the dataset with --base"
        )
    return rows
