"""What a dataset must hold before a job may start: rows in its splits, ids in their tables, labels in their range."""

from __future__ import annotations

import numpy as np

from tfrec.dataset.directory import VOCABULARY, DatasetDirectory
from tfrec.dataset.records import Arrays
from tfrec.errors import ArtifactError, ConfigError, DataError
from tfrec.models.inputs import id_counts
from tfrec.schema import ITEM_INDEX, LABEL, USER_INDEX

CHECKED_ROWS = 1_000_000  # of a streamed split, at most: labels and ids in their range


def require_rows(dataset: DatasetDirectory, *, needs_validation: bool) -> None:
    """Refuse a dataset without training rows, or without validation rows where they choose the epoch.

    Raises:
        DataError: nothing to train on.
        ConfigError: nothing to choose an epoch by.

    """
    if not dataset.rows("train"):
        raise DataError(f"{dataset.path}: the training split is empty; lower the shares of the other splits")
    if needs_validation and not dataset.rows("validation"):
        raise ConfigError(
            f"{dataset.path}: the validation split is empty, so no epoch can be chosen; "
            "give split.validation a share, name --eval-files, or keep the last epoch with --set train.monitor=steps"
        )


def require_vocabularies(dataset: DatasetDirectory) -> None:
    """Refuse vocabularies of another length than the statistics say: ids would mean something else.

    Raises:
        ArtifactError: a file is absent or has another number of tokens.

    """
    for name, statistics in dataset.statistics["features"].items():
        size = statistics.get("vocabulary_size")
        if not size:
            continue
        path = dataset.path / VOCABULARY / f"{name}.txt"
        found = _lines(dataset, name)
        if found != size:
            raise ArtifactError(
                f"{path}: has {found} tokens, {dataset.path / 'statistics.json'} says {size}; "
                "copy the dataset again or rerun the transforms"
            )


def require_values(dataset: DatasetDirectory, part: str, records: Arrays, first_row: int = 0) -> None:
    """Refuse rows whose label, ids or indices are outside their range.

    Args:
        dataset: where they come from.
        part: "train", "validation" or "test".
        records: column → values of all rows, or of some.
        first_row: number, in the split, of the first one of these.

    Raises:
        DataError: the first row that is wrong.

    """
    where = f"{dataset.path / part}"
    _require_labels(dataset, where, records, first_row)
    sizes = {**id_counts(dataset), USER_INDEX: dataset.rows("users"), ITEM_INDEX: dataset.rows("items")}
    for name in sorted(records.keys() & sizes.keys()):
        values = records[name]
        wrong = (values < 0) | (values >= sizes[name])
        if wrong.any():
            row = int(np.argwhere(wrong)[0][0])
            got = values[row][wrong[row]][0] if values.ndim > 1 else values[row]
            raise DataError(
                f"{where}: row {first_row + row} has {name} {got}; allowed: 0 to {sizes[name] - 1}; are the records "
                "of another dataset? write them with the same vocabularies"
            )


def _require_labels(dataset: DatasetDirectory, where: str, records: Arrays, first_row: int) -> None:
    label = dataset.schema.label
    if label is None or LABEL not in records:
        return
    labels = records[LABEL]
    is_right = np.isin(labels, (0, 1)) if label.is_binary else np.isfinite(labels)
    if not is_right.all():
        row = int(np.argmin(is_right))
        allowed = "0 and 1 (it has a threshold or a list of values)" if label.is_binary else "finite numbers"
        raise DataError(
            f"{where}: row {first_row + row} has the label {labels[row]:g}; allowed: {allowed}; write the records "
            "with python -m transforms.run"
        )


def _lines(dataset: DatasetDirectory, name: str) -> int:
    path = dataset.path / VOCABULARY / f"{name}.txt"
    try:
        with open(path, "rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); copy the dataset again") from None
