"""dataset.yaml: where the logs are, how they are written, and which features they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, WrapValidator, field_validator, model_validator

from tfrec.config_file import Config, load_config
from tfrec.errors import ConfigError, did_you_mean
from tfrec.schema import (
    CategoricalFeature,
    Cross,
    Feature,
    Given,
    Kept,
    Label,
    NumericFeature,
    Schema,
    SequenceFeature,
    Sessions,
    Split,
    Temporal,
    Timestamp,
    VectorFeature,
    Weight,
    WeightsFeature,
)
from transforms.filters import Filters

PRESETS = Path(__file__).parent / "presets"
TableName = Literal["events", "users", "items"]


class TableConfig(Config):
    """One table of the log, or one part of its events: files and how they are written.

    `delimiter`, `header`, `quote` and `encoding` are of CSV alone. `columns` names the columns of a CSV without a
    header, or keys of a JSONL file that its first rows may lack.
    """

    files: tuple[str, ...] = Field(min_length=1, description="names or patterns, relative to --input-dir")
    format: Literal["csv", "jsonl", "parquet"] = "csv"
    delimiter: str = Field(",", min_length=1, description="one or several characters")
    header: bool = Field(True, description="the first line of each file names the columns")
    columns: tuple[str, ...] | None = Field(None, description="names, in order, of files without a header")
    quote: str | None = Field('"', min_length=1, max_length=1, description="null: quotes are ordinary characters")
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    split: Literal["train", "validation", "test"] | None = Field(
        None, description="where all of these events belong; for parts of 'events' only"
    )

    @field_validator("files", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_format(self) -> TableConfig:
        if self.columns is not None and len(set(self.columns)) < len(self.columns):
            twice = next(name for name in self.columns if self.columns.count(name) > 1)
            raise ValueError(f"column {twice!r} is named twice; each name once")
        if self.format == "csv":
            return self._checked_csv()
        foreign = {"delimiter", "header", "quote", "encoding"} | ({"columns"} if self.format == "parquet" else set())
        for key in TableConfig.model_fields:
            if key in foreign & self.model_fields_set:
                raise ValueError(f"{key!r} has no meaning with 'format: {self.format}'; drop it")
        return self

    def _checked_csv(self) -> TableConfig:
        if not self.header and self.columns is None:
            raise ValueError("'header: false' needs 'columns': the names in the order of the file")
        if self.header and self.columns is not None:
            raise ValueError("has 'columns' and a header; set 'header: false', or drop 'columns'")
        if not (self.quote or "").isascii() or (len(self.delimiter) == 1 and not self.delimiter.isascii()):
            raise ValueError("a 'delimiter' or 'quote' of one character must be ASCII; write the file with another")
        if any(sign in "\r\n" for sign in self.delimiter + (self.quote or "")):
            raise ValueError("'delimiter' and 'quote' cannot hold an end of line; choose others")
        if len(self.delimiter) > 1 and self.quote is not None:
            raise ValueError("a delimiter of several characters goes with 'quote: null'")
        if self.quote is not None and self.quote == self.delimiter:
            raise ValueError("'quote' and 'delimiter' are the same; change one")
        return self


def _table_or_parts(value: object, _: object) -> TableConfig | tuple[TableConfig, ...]:
    """One table or a list of parts. Pydantic's own union would report the mistakes of both."""
    if not isinstance(value, list | tuple):
        return TableConfig.model_validate(value)
    parts = TypeAdapter(tuple[TableConfig, ...]).validate_python(value)
    if not parts:
        raise ValueError("is an empty list; name at least one table")
    if len({part.split is None for part in parts}) > 1:
        without = next(number for number, part in enumerate(parts, start=1) if part.split is None)
        raise ValueError(f"part {without} has no 'split' and another has; give each one or none")
    return parts


class DatasetConfig(Config):
    """The whole of a dataset.yaml."""

    name: str
    # The single table stands last: it is the one whose keys an error about a misspelt key lists.
    events: Annotated[tuple[TableConfig, ...] | TableConfig, WrapValidator(_table_or_parts)]
    users: TableConfig | None = None
    items: TableConfig | None = None
    features: dict[str, Feature]
    label: Label | None = None
    weight: Weight | None = None
    propensity: Kept | None = None
    request: Kept | None = None
    timestamp: Timestamp | None = None
    sessions: Sessions | None = None
    split: Split = Field(default_factory=Temporal)
    crosses: dict[str, Cross] = {}
    targets: dict[str, Label] = {}
    filters: Filters = Filters()
    max_rejected_share: float = Field(0.01, ge=0, le=1, description="above this share of bad rows the run fails")
    partition_bytes: int = Field(64 << 20, ge=1, description="of the log, per group of users that is sorted in memory")
    rows_per_record: int = Field(1, ge=1, description="rows packed into one tf.train.Example of a split")
    shard_bytes: int = Field(64 << 20, ge=1, description="aimed size of one TFRecord file before compression")
    compression: Literal["gzip", "none"] = "gzip"

    @model_validator(mode="after")
    def _schema_holds(self) -> DatasetConfig:
        self.schema_of()
        if isinstance(self.split, Given) and self.split.validation and "validation" in self._splits_of_parts():
            raise ValueError("split: has a share for 'validation', and a part of 'events' says it too; drop one")
        is_given, has_splits = isinstance(self.split, Given), self.parts("events")[0].split is not None
        if is_given and not has_splits:
            raise ValueError("split: strategy 'given' needs a 'split' in each part of 'events'")
        if has_splits and not is_given:
            raise ValueError(
                f"events say their split, but split.strategy is {self.split.strategy!r}; set it to 'given'"
            )
        return self

    def _splits_of_parts(self) -> set[str | None]:
        return {part.split for part in self.parts("events")}

    def schema_of(self) -> Schema:
        """The part that describes the records; frozen with the dataset."""
        named = {name: getattr(self, name) for name in Schema.model_fields if name in DatasetConfig.model_fields}
        negatives = self.filters.keep_negatives
        return Schema(**named, kept_negatives=None if negatives is None else negatives.share)

    def table(self, name: TableName) -> TableConfig | None:
        """How a table is written; of events in several parts the first."""
        table: TableConfig | tuple[TableConfig, ...] | None = getattr(self, name)
        return table[0] if isinstance(table, tuple) else table

    def parts(self, name: TableName) -> tuple[TableConfig, ...]:
        """All parts of a table, in the order of the config; none where there is no such table."""
        table: TableConfig | tuple[TableConfig, ...] | None = getattr(self, name)
        return table if isinstance(table, tuple) else (table,) if table is not None else ()


def load_dataset_config(path_or_preset: str, overrides: tuple[str, ...] = ()) -> DatasetConfig:
    """Read a dataset.yaml, or one of the presets by its bare name (`ml-100k`).

    Raises:
        ConfigError: see `tfrec.config_file.load_config`; also for a name that is neither a file nor a preset.

    """
    path = Path(path_or_preset)
    if not path.exists() and path.suffix not in (".yaml", ".yml"):
        preset = PRESETS / f"{path_or_preset}.yaml"
        if not preset.exists():
            names = [found.stem for found in PRESETS.glob("*.yaml")]
            raise ConfigError(
                f"--config {path_or_preset!r}: neither a file nor a preset{did_you_mean(path_or_preset, names)}"
            )
        path = preset
    return load_config(path, DatasetConfig, overrides)


def source_columns(name: str, feature: Feature) -> tuple[str, ...]:
    """Columns that a feature reads; none where it is made of the events themselves."""
    if isinstance(feature, SequenceFeature) or (isinstance(feature, NumericFeature) and feature.so_far):
        return ()
    if isinstance(feature, CategoricalFeature) and feature.flags is not None:
        return feature.flags
    return (feature.column or name,)


def reads_lists(feature: Feature) -> bool:
    """Whether its column holds lists, not values."""
    return isinstance(feature, CategoricalFeature | VectorFeature | WeightsFeature) and feature.list
