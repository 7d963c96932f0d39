"""Starting with the weights of an earlier job, whose vocabularies were other ones.

The rules, for every feature of every table:

- The row of a token that both jobs know is copied, whatever its id was; so are the rows of padding and unknown tokens
  where training had changed them.
- A new token starts with the row that the earlier job would have looked up for it, that of unknown tokens. If training
  never changed that row (no unknown token occurred), it is noise; the mean row of the earlier tokens stands in for it.
- Where a model describes an id by other features (`IdTable.content`), a new one starts from those that share its
  values: the mean over its values of the mean vector of the known ids that have the value.
- A row of a hashed table starts with the mean of the rows of the known tokens that share it now. Rows of a
  quotient_remainder table belong to many tokens: they are copied if all tokens kept their ids, else fresh.
- Variables without features (matrices, biases) are copied where their shapes agree.
- A model that is put together from others (`GradientModel.earlier_parts`) takes a job of each, and of each job the part
  that both have, by the same rules; its matrices must all agree. What the new model says so is scaled on the way.

Optimiser slots stay fresh: they describe gradients of other data, and of the last step rather than the best.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrec.errors import ConfigError
from tfrec.layers.id_tables import IdTable
from tfrec.models.base import Recommender
from tfrec.models.learning import EarlierPart, FittedModel, GradientModel
from trainer.config import JobConfig, load_job_config
from trainer.data import JobData
from trainer.job import JobDirectory
from trainer.warm_start.row_source import Counts, RowSource, open_row_source
from trainer.warm_start.stored_weights import StoredWeights, pieces, variable_paths
from trainer.warm_start.token_map import IdMap, map_ids
from trainer.warm_start.vocabularies import Encoding, KeptTable, KeptVocabulary, encoding_of, read_vocabulary

NO_TABLE = "not in the earlier job"


@dataclass(frozen=True)
class TableLine:
    """What became of one feature's rows in one variable.

    Attributes:
        variable: its place in the model.
        feature: whose rows these are.
        counts: of tokens; of rows where `is_fixed`.
        note: why the rows are fresh.
        is_fixed: no id looks the rows up.

    """

    variable: str
    feature: str
    counts: Counts
    note: str = ""
    is_fixed: bool = False


@dataclass(frozen=True)
class WarmStart:
    """What was taken over.

    Attributes:
        job: where from.
        tables: one line per feature and variable.
        copied: variables that were copied whole.
        fresh: variables that were not, and why.

    """

    job: Path
    tables: tuple[TableLine, ...]
    copied: tuple[str, ...]
    fresh: dict[str, str]


def warm_starts(model: Recommender, config: JobConfig, data: JobData) -> list[WarmStart]:
    """Put the best weights of all jobs of `config.warm_start_from` into a model with fresh weights.

    Raises:
        ConfigError: as `warm_start`; or these are neither one job of the same model, nor one of each of its parts.

    """
    jobs = config.warm_start_from
    names = [load_job_config(JobDirectory(job).config).model_name for job in jobs]
    parts = sorted(model.earlier_parts) if isinstance(model, GradientModel) else []
    if jobs and names != [config.model_name] and not (parts and sorted(names) == parts):
        _refuse(config.model_name, jobs, names, parts)
    return [warm_start(model, config, data, job) for job in jobs]


def _refuse(model_name: str, jobs: Sequence[str], names: Sequence[str], parts: Sequence[str]) -> None:
    given = " ".join(f"--warm-start-from {job}" for job in jobs)
    of_these = f"is a job of the model {names[0]}" if len(jobs) == 1 else f"are jobs of the models {', '.join(names)}"
    together = f", or one job each of {' and '.join(parts)}" if parts else ""
    raise ConfigError(f"{given}: {of_these}, this one of {model_name}; name a job of the same model{together}")


def warm_start(model: Recommender, config: JobConfig, data: JobData, earlier: str | Path) -> WarmStart:
    """Put the best weights of an earlier job into a model with fresh weights.

    Args:
        model: of the new job, before its optimiser is made (averages start with the weights).
        config: of the new job.
        data: of the new job.
        earlier: directory of the earlier job, of the same model or of one of its parts; its dataset is not needed.

    Raises:
        ConfigError: the earlier job has another model, or tables of another width.
        ArtifactError: it has no finished epoch, or what it kept is absent or damaged.

    """
    job = JobDirectory(earlier)
    name = load_job_config(job.config).model_name
    parts = model.earlier_parts if isinstance(model, GradientModel) else {}
    if name != config.model_name and name not in parts:
        _refuse(config.model_name, [str(job.path)], [name], sorted(parts))
    where = f"--warm-start-from {job.path}"
    if isinstance(model, FittedModel) or not isinstance(model, GradientModel):
        raise ConfigError(f"{where}: {config.model_name} is not trained step by step, so it needs no warm start")
    part = None if name == config.model_name else parts[name]
    return _Start(model, data, job, StoredWeights(job), KeptVocabulary.read(job), part).run(where)


class _Start:
    """One warm start."""

    def __init__(
        self,
        model: GradientModel,
        data: JobData,
        job: JobDirectory,
        stored: StoredWeights,
        kept: KeptVocabulary,
        part: EarlierPart | None,
    ) -> None:
        self._data = data
        self._job = job
        self._stored = stored
        self._kept = kept
        self._part = part
        below = "" if part is None else f"{part.place}/"
        self._variables = {
            path: variable
            for path, variable in variable_paths(model).items()
            if path.startswith(below) and all(piece.trainable for _, piece in pieces(variable))
        }
        self._tables: dict[int, list[IdTable]] = defaultdict(list)
        for table in model.id_tables():
            self._tables[id(table.variable)].append(table)
        self._earlier = {(table.variable, table.feature, table.is_quotient): table for table in kept.layout.tables}
        self._maps: dict[tuple[str, str], IdMap | str] = {}

    def run(self, where: str) -> WarmStart:
        self._check_widths(where)
        self._check_matrices(where)
        lines: list[TableLine] = []
        copied, fresh = [], {}
        for path, variable in self._variables.items():
            tables = self._tables.get(id(variable))
            if tables:
                lines += self._take_rows(path, variable, tables)
            elif (shape := self._stored.shape(path)) == tuple(variable.shape):
                self._assign_whole(variable, self._stored.values(path) * self._scale(path))
                copied.append(path)
            else:
                fresh[path] = NO_TABLE if shape is None else f"shape {shape} there, {tuple(variable.shape)} here"
        return WarmStart(self._job.path, tuple(lines), tuple(copied), fresh)

    def _check_widths(self, where: str) -> None:
        """Refuse before anything is changed."""
        for path, variable in self._variables.items():
            shape = self._stored.shape(path)
            tables = self._tables.get(id(variable), [])
            is_embedding = any(table.plan.kind != "fixed" for table in tables)
            if is_embedding and shape is not None and shape[1:] != tuple(variable.shape[1:]):
                key = "model.embedding_dim" if self._part is None else self._part.width_key
                raise ConfigError(
                    f"{where}: its table {path} has rows of {shape[1]} numbers, here {variable.shape[1]}; "
                    f"set {key}={shape[1]}"
                )

    def _check_matrices(self, where: str) -> None:
        """Refuse a part of which something would stay fresh."""
        for path, variable in self._variables.items():
            shape = self._stored.shape(path)
            if self._part is not None and id(variable) not in self._tables and shape != tuple(variable.shape):
                found = "is absent" if shape is None else f"has the shape {shape}, here {tuple(variable.shape)}"
                raise ConfigError(f"{where}: its {path} {found}; give both jobs layers of the same number and widths")

    def _scale(self, path: str) -> float:
        return 1.0 if self._part is None else self._part.scales.get(path, 1.0)

    def _assign_whole(self, variable: tf.Variable, values: np.ndarray) -> None:
        for first, piece in pieces(variable):
            piece.assign(values[first : first + piece.shape[0]] if values.ndim else values)

    def _take_rows(self, path: str, variable: tf.Variable, tables: list[IdTable]) -> list[TableLine]:
        """Fill a variable, a shard at a time: no more than a shard is built anew."""
        shape = self._stored.shape(path)
        if shape is None or shape[1:] != tuple(variable.shape[1:]):
            note = NO_TABLE if shape is None else f"rows of {shape[1]} numbers there, {variable.shape[1]} here"
            return [_line(path, table, note) for table in tables]
        values = self._stored.values(path)
        sources = [self._source(path, table, values) for table in tables]
        for first, piece in pieces(variable):
            rows = tf.convert_to_tensor(piece).numpy().copy()
            for table, source in zip(tables, sources, strict=True):
                begin, end = max(table.first_row, first), min(table.first_row + table.rows, first + len(rows))
                if begin < end and isinstance(source, RowSource):
                    found, is_found = source.rows(begin - table.first_row, end - table.first_row)
                    target = rows[begin - first : end - first]
                    target[is_found] = found[is_found]
            piece.assign(rows)
        return [_line(path, table, source) for table, source in zip(tables, sources, strict=True)]

    def _source(self, path: str, table: IdTable, values: np.ndarray) -> RowSource | str:
        """Where the rows of a feature come from, or why from nowhere."""
        earlier = self._earlier.get((path, table.feature, table.is_quotient))
        if earlier is None:
            return NO_TABLE
        if "fixed" in (table.plan.kind, earlier.kind):
            return open_row_source(table, earlier, values, None, self._kept, self._data)
        ids = self._ids(table, earlier)
        return ids if isinstance(ids, str) else open_row_source(table, earlier, values, ids, self._kept, self._data)

    def _ids(self, table: IdTable, earlier: KeptTable) -> IdMap | str:
        """The map of a feature; features that share ids share it."""
        was: Encoding = self._kept.layout.encodings[earlier.feature]
        now = encoding_of(self._data.dataset, table.feature)
        key = (was.source, now.source)
        if key not in self._maps:
            self._maps[key] = map_ids(
                was,
                partial(self._kept.tokens, was.source),
                now,
                partial(read_vocabulary, self._data.dataset, now.source),
                self._data.model_inputs.num_ids[table.feature],
            )
        return self._maps[key]


def _line(path: str, table: IdTable, source: RowSource | str) -> TableLine:
    is_fixed = table.plan.kind == "fixed"
    if isinstance(source, str):
        return TableLine(path, table.feature, Counts(fresh=table.rows), source, is_fixed)
    return TableLine(path, table.feature, source.counts, is_fixed=is_fixed)
