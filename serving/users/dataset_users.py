"""The users of a dataset directory, as records of a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from serving.dataset_tables import DatasetTables
from serving.users.event import sequences_of
from serving.users.record import UserRecord
from tfrec.schema import EVENT_TIME_MS, CategoricalFeature, Schema

_RAW = "raw/"  # users/ has raw values under this prefix, beside the encoded ones
# Stands for an item of a history that the training vocabulary lacks: any token that it lacks gets the same id.
UNKNOWN = "[unknown]"


class DatasetUsers:
    """`users/` of a finished dataset, record by record: raw features, and histories back in raw tokens."""

    def __init__(self, path: str | Path) -> None:
        self._tables = DatasetTables(path)
        self.schema: Schema = self._tables.schema
        sources = {name: self.schema.sequence_source(name) for name in sequences_of(self.schema)}
        vocabularies = {source: self._vocabulary(source) for source in set(sources.values())}
        # Hashed tokens can't be told from their ids: such a history begins anew with the store.
        self._tokens = {name: vocabularies[source] for name, source in sources.items()}
        self.left_out = sorted(name for name, tokens in self._tokens.items() if tokens == [])

    def __iter__(self) -> Iterator[tuple[str, UserRecord]]:
        """Yield the id and the record of each user. Raises ArtifactError for a file that is torn."""
        return map(self._record, self._tables.examples("users"))

    def _record(self, columns: Any) -> tuple[str, UserRecord]:
        features = {}
        for column, content in columns.items():
            name = column.removeprefix(_RAW)
            if name != column and name != self.schema.user_id and (values := _values(content)):
                features[name] = values if self._is_list(name) else values[0]
        sequences = {
            name: [_token(value, tokens) for value in _values(columns[name])]
            for name, tokens in self._tokens.items()
            if tokens != [] and name in columns
        }
        last = _values(columns[EVENT_TIME_MS]) if EVENT_TIME_MS in columns else []
        user_id = _values(columns[_RAW + self.schema.user_id])[0]
        return user_id, UserRecord(features, sequences, last[0] if last else None)

    def _is_list(self, name: str) -> bool:
        feature = self.schema.features.get(name)
        return feature is None or getattr(feature, "multivalued", feature.kind in ("vector", "weights"))

    def _vocabulary(self, source: str) -> list[str] | None:
        """Tokens by id; [] where ids have none to be told from, None where the values are numbers."""
        feature = self.schema.features.get(source)
        if not isinstance(feature, CategoricalFeature):
            return None
        if feature.hash_buckets is not None:
            return []
        text = (self._tables.path / "vocabulary" / f"{source}.txt").read_text(encoding="utf-8")
        return ["", *[UNKNOWN] * feature.num_oov_indices, *text.split("\n")[: text.count("\n")]]


def _values(content: Any) -> list[Any]:
    """The values of a tf.train.Feature, text as str."""
    kind = content.WhichOneof("kind")
    if kind is None:
        return []
    values = list(getattr(content, kind).value)
    return [value.decode() for value in values] if kind == "bytes_list" else values


def _token(value: Any, tokens: Sequence[str] | None) -> Any:
    return value if tokens is None else tokens[value]
