"""The rows of one feature in one variable, as an earlier job's weights give them."""

from __future__ import annotations

import abc
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrec.layers.id_tables import IdTable
from tfrec.layers.tables import RowPlan, main_row
from trainer.data import JobData
from trainer.warm_start.token_map import IdMap, content_means
from trainer.warm_start.vocabularies import (
    KeptTable,
    KeptVocabulary,
    encoding_of,
    has_reserved_rows,
    reserved_ids,
    start_key,
)


class Counts(NamedTuple):
    """Tokens (of what has no vocabulary: ids or rows) by where their rows come from."""

    copied: int = 0
    from_unknown: int = 0  # from the trained row of unknown tokens
    from_content: int = 0
    from_mean: int = 0  # from the mean row of the earlier tokens
    fresh: int = 0
    gone: int = 0  # tokens of the earlier job that there are no more


class RowSource(abc.ABC):
    """Gives the rows of a feature, some at a time."""

    counts: Counts

    @abc.abstractmethod
    def rows(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows [begin, end) of the feature.

        Returns:
            (values [end − begin, dim], which of them are known: bool [end − begin]).

        """


def open_row_source(
    table: IdTable, earlier: KeptTable, values: np.ndarray, ids: IdMap | None, kept: KeptVocabulary, data: JobData
) -> RowSource | str:
    """Find out where the rows come from, or say why from nowhere.

    Args:
        table: the feature's rows in the new model.
        earlier: its rows in the earlier one.
        values: of the earlier variable, all features.
        ids: from new ids to earlier ones; None for fixed rows.
        kept: of the earlier job.
        data: of the new job.

    """
    own = values[earlier.first_row : earlier.first_row + (earlier.quotients if earlier.is_quotient else earlier.rows)]
    if ids is None:
        if table.plan != earlier.plan:
            return f"{earlier.rows} {earlier.kind} rows there, {table.plan.rows} {table.plan.kind} here"
        return _Same(own, Counts(copied=table.rows))
    if "quotient_remainder" in (table.plan.kind, earlier.kind):
        if table.plan[::2] != earlier.plan[::2]:
            return f"{earlier.kind} of {earlier.rows} rows there, {table.plan.kind} of {table.plan.rows} here"
        if not ids.moves_none:
            return "tokens have other ids now, and rows of a quotient_remainder table belong to several"
        new = int(ids.is_new.sum())
        return _Same(own, Counts(len(ids.source) - ids.first_token_id - new, fresh=new, gone=ids.gone))
    return _ByToken(table, earlier, own, ids, kept, data)


class _Same(RowSource):
    """Rows that mean what they meant."""

    def __init__(self, own: np.ndarray, counts: Counts) -> None:
        self._own = own
        self.counts = counts

    def rows(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        is_known = np.arange(begin, end) < len(self._own)
        found = np.zeros([end - begin, self._own.shape[1]], self._own.dtype)
        found[is_known] = self._own[begin:end]
        return found, is_known


class _ByToken(RowSource):
    """Rows of plain and hashed tables."""

    def __init__(
        self, table: IdTable, earlier: KeptTable, own: np.ndarray, ids: IdMap, kept: KeptVocabulary, data: JobData
    ) -> None:
        self._plan, self._earlier_plan = table.plan, earlier.plan
        self._own = own
        self._ids = ids
        encoding = kept.layout.encodings[earlier.feature]
        reserved = encoding.first_token_id
        # Padding and unknown tokens: an unchanged row holds nothing to take over.
        self._is_trained = np.ones(reserved, np.bool_)
        if has_reserved_rows(earlier.plan, encoding):
            start = kept.starts[start_key(earlier)]
            now = own[_main_rows(reserved_ids(encoding).numpy(), earlier.plan)]
            self._is_trained = ~np.isclose(now, start, rtol=1e-4, atol=1e-7).all(axis=1)
        self._mean = own[min(reserved, len(own) - 1) :].mean(axis=0)
        self._content_ids, self._content = np.zeros(0, np.int64), np.zeros([0, own.shape[1]], np.float32)
        if table.content and table.plan.kind == "plain":
            self._content_ids, self._content = self._from_content(table, data)
        self.counts = self._count()

    def _from_content(self, table: IdTable, data: JobData) -> tuple[np.ndarray, np.ndarray]:
        features = data.catalogue.features
        ids = features[table.feature].astype(np.int64)
        columns = {name: features[name] for name in table.content if features[name].dtype.kind == "i"}
        first_value = {name: encoding_of(data.dataset, name).first_token_id for name in columns}
        is_token = ids >= self._ids.first_token_id
        ids, columns = ids[is_token], {name: column[is_token] for name, column in columns.items()}
        known = ~self._ids.is_new[ids]
        vectors = self._own[_main_rows(self._ids.source[ids[known]], self._earlier_plan)]
        return content_means(ids, columns, first_value, known, vectors)

    def _count(self) -> Counts:
        ids = self._ids
        is_new = ids.is_new.copy()
        is_new[self._content_ids] = False
        from_unknown = int(self._is_trained[ids.source[is_new]].sum())
        return Counts(
            copied=int((~ids.is_new[ids.first_token_id :]).sum()),
            from_unknown=from_unknown,
            from_content=len(self._content_ids),
            from_mean=int(is_new.sum()) - from_unknown,
            gone=ids.gone,
        )

    def rows(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        if self._plan.kind == "plain":
            return self._vectors(np.arange(begin, end))
        ids = np.arange(len(self._ids.source))
        places = _main_rows(ids, self._plan)
        here = (places >= begin) & (places < end)
        ids, places = ids[here], places[here] - begin
        # Tokens that were known decide; a row that has none starts as its new tokens would.
        is_known = ~self._ids.is_new[ids]
        has_known = np.bincount(places[is_known], minlength=end - begin) > 0
        counts = is_known | ~has_known[places]
        vectors, is_found = self._vectors(ids)
        counts &= is_found
        mean = tf.math.unsorted_segment_mean(vectors[counts], places[counts], end - begin).numpy()
        return mean, np.bincount(places[counts], minlength=end - begin) > 0

    def _vectors(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of ids [n] → ([n, dim], which are known)."""
        source, is_new = self._ids.source[ids], self._ids.is_new[ids]
        vectors = self._own[_main_rows(source, self._earlier_plan)]
        is_reserved = source < len(self._is_trained)
        is_trained = np.ones(len(ids), np.bool_)
        is_trained[is_reserved] = self._is_trained[source[is_reserved]]
        vectors[is_new & ~is_trained] = self._mean
        place = np.searchsorted(self._content_ids, ids)
        has_content = np.zeros(len(ids), np.bool_)
        inside = place < len(self._content_ids)
        has_content[inside] = self._content_ids[place[inside]] == ids[inside]
        vectors[has_content] = self._content[place[has_content]]
        return vectors, is_trained | is_new


def _main_rows(ids: np.ndarray, plan: RowPlan) -> np.ndarray:
    rows: np.ndarray = main_row(tf.constant(ids, tf.int64), plan).numpy()
    return rows
