"""What the ids of a job's features mean, kept in the job directory: a later job takes over rows by token.

The dataset may be gone by then, so a job keeps the tokens itself, in `JOB/vocabulary/`:

    layout.json            how each feature is encoded, and which rows of which variable are its own
    <feature>.parquet      tokens in the order of their ids, one column, compressed
    start.npz              what the rows of padding and unknown tokens started with: whether training changed them
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from tfrec.config_file import Config
from tfrec.dataset.directory import VOCABULARY, DatasetDirectory
from tfrec.errors import ArtifactError
from tfrec.layers.id_tables import IdTable
from tfrec.layers.tables import RowPlan, look_up, main_row
from tfrec.models.learning import GradientModel
from tfrec.schema import FIRST_OOV_ID, CategoricalFeature, NumericFeature, SequenceFeature, TextFeature
from trainer.job import JobDirectory
from trainer.warm_start.stored_weights import variable_paths

LAYOUT, START = "layout.json", "start.npz"


class Encoding(Config):
    """How the values of a feature become ids."""

    kind: Literal["vocabulary", "hash", "buckets", "none"]
    source: str  # the feature whose values these are: of a sequence, what it consists of
    num_oov: int = 0
    hash_buckets: int = 0
    boundaries: tuple[float, ...] = ()

    @property
    def first_token_id(self) -> int:
        """The first id that stands for a token of its own."""
        return FIRST_OOV_ID + self.num_oov


class KeptTable(Config):
    """An `IdTable` whose variable is known by its place in the model."""

    variable: str
    feature: str
    first_row: int
    rows: int
    quotients: int
    kind: str
    is_quotient: bool

    @property
    def plan(self) -> RowPlan:
        return RowPlan(self.rows, self.quotients, self.kind)


class Layout(Config):
    """layout.json."""

    format_version: Literal[1] = 1
    encodings: dict[str, Encoding]
    tables: tuple[KeptTable, ...]


def encoding_of(dataset: DatasetDirectory, name: str) -> Encoding:
    """How the dataset encodes a feature."""
    feature = dataset.schema.features[name]
    if isinstance(feature, SequenceFeature):
        source = dataset.schema.sequence_source(name)
        return encoding_of(dataset, source) if source in dataset.schema.features else Encoding(kind="none", source=name)
    if isinstance(feature, TextFeature):
        feature = feature.as_categorical
    if isinstance(feature, CategoricalFeature):
        if feature.hash_buckets is not None:
            return Encoding(kind="hash", source=name, hash_buckets=feature.hash_buckets)
        return Encoding(kind="vocabulary", source=name, num_oov=feature.num_oov_indices)
    if not isinstance(feature, NumericFeature) or feature.buckets is None:
        return Encoding(kind="none", source=name)
    boundaries = dataset.statistics["features"][name]["encoding"]["boundaries"]
    return Encoding(kind="buckets", source=name, boundaries=tuple(boundaries))


def read_vocabulary(dataset: DatasetDirectory, feature: str) -> pa.LargeBinaryArray:
    """The tokens of a feature, in the order of their ids; no Python object per token."""
    content = np.fromfile(dataset.path / VOCABULARY / f"{feature}.txt", np.uint8)
    if len(content) and content[-1] != ord("\n"):
        content = np.append(content, np.uint8(ord("\n")))
    ends = np.flatnonzero(content == ord("\n"))
    offsets = np.concatenate([[0], ends - np.arange(len(ends))]).astype(np.int64)
    text = content[content != ord("\n")]
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(text)]
    )


def keep_vocabulary(job: JobDirectory, dataset: DatasetDirectory, model: GradientModel) -> None:
    """Write `JOB/vocabulary/`.

    Args:
        job: that starts from its first step; what an unfinished one of another config left there is replaced.
        dataset: of the job.
        model: with fresh weights, before training or a warm start changes them.

    """
    target = job.path / VOCABULARY
    scratch = target.with_suffix(".tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    tables, paths = model.id_tables(), {id(variable): path for path, variable in variable_paths(model).items()}
    encodings = {table.feature: encoding_of(dataset, table.feature) for table in tables}
    for encoding in encodings.values():
        file = scratch / f"{encoding.source}.parquet"
        if encoding.kind == "vocabulary" and not file.exists():
            tokens = read_vocabulary(dataset, encoding.source)
            pq.write_table(pa.table({"token": tokens}), file, compression="zstd", use_dictionary=False)
    kept = tuple(_kept(table, paths[id(table.variable)]) for table in tables)
    starts = {
        start_key(entry): reserved_rows(table.plan, encodings[table.feature], table)
        for entry, table in zip(kept, tables, strict=True)
        if has_reserved_rows(entry.plan, encodings[entry.feature])
    }
    np.savez(scratch / START, **starts)  # type: ignore[arg-type]
    layout = Layout(encodings=encodings, tables=kept)
    (scratch / LAYOUT).write_text(layout.model_dump_json(indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)


def _kept(table: IdTable, path: str) -> KeptTable:
    plan, first = table.plan, table.first_row
    return KeptTable(
        variable=path, feature=table.feature, first_row=first, is_quotient=table.is_quotient, **plan._asdict()
    )


def start_key(table: KeptTable) -> str:
    return f"{table.variable}|{table.feature}"


def has_reserved_rows(plan: RowPlan, encoding: Encoding) -> bool:
    """Whether padding and unknown tokens have rows of their own."""
    return encoding.kind == "vocabulary" and plan.kind in ("plain", "hashed")


def reserved_rows(plan: RowPlan, encoding: Encoding, table: IdTable) -> np.ndarray:
    """Rows of padding and of unknown tokens. float [1 + num_oov, dim]"""
    rows: np.ndarray = look_up(table.variable, table.first_row + main_row(reserved_ids(encoding), plan)).numpy()
    return rows


def reserved_ids(encoding: Encoding) -> tf.Tensor:
    return tf.range(encoding.first_token_id, dtype=tf.int64)


@dataclass(frozen=True)
class KeptVocabulary:
    """What a job has kept.

    Attributes:
        path: of the directory.
        layout: of its tables.
        starts: `start_key` → rows of padding and unknown tokens before training.

    """

    path: Path
    layout: Layout
    starts: dict[str, np.ndarray]

    @classmethod
    def read(cls, job: JobDirectory) -> KeptVocabulary:
        """Read `JOB/vocabulary/`.

        Raises:
            ArtifactError: it is absent or damaged.

        """
        path = job.path / VOCABULARY
        try:
            layout = Layout.model_validate(json.loads((path / LAYOUT).read_text(encoding="utf-8")))
            with np.load(path / START) as starts:
                return cls(path, layout, dict(starts))
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).partition("\n")[0]
            raise ArtifactError(
                f"{path}: what the ids of this job mean cannot be read ({reason}); warm start needs it: train that "
                "job again, or start without --warm-start-from"
            ) from None

    def tokens(self, feature: str) -> pa.Array:
        """Tokens of a feature in the order of their ids. Raises ArtifactError if the file is absent or damaged."""
        file = self.path / f"{feature}.parquet"
        try:
            return pq.read_table(file).column("token").combine_chunks()
        except (OSError, KeyError, pa.ArrowException) as error:
            reason = str(error).partition("\n")[0]
            raise ArtifactError(f"{file}: cannot be read ({reason}); start without --warm-start-from") from None
