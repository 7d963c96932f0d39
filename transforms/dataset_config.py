"""dataset.yaml: where the logs are, how they are written, and which features they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from tfrec.config_file import Config, load_config
from tfrec.errors import ConfigError, did_you_mean
from tfrec.schema import (
    CategoricalFeature,
    Feature,
    Label,
    Schema,
    SequenceFeature,
    Split,
    Temporal,
    Timestamp,
)

PRESETS = Path(__file__).parent / "presets"
TableName = Literal["events", "users", "items"]


class TableConfig(Config):
    """One table of the log: files and how they are written."""

    files: tuple[str, ...] = Field(min_length=1, description="names or patterns, relative to --input-dir")
    format: Literal["csv"] = "csv"
    delimiter: str = Field(",", min_length=1, description="one or several characters")
    header: bool = Field(True, description="the first line of each file names the columns")
    columns: tuple[str, ...] | None = Field(None, description="names, in order, of files without a header")
    quote: str | None = Field('"', min_length=1, max_length=1, description="null: quotes are ordinary characters")
    encoding: Literal["utf-8", "latin-1"] = "utf-8"

    @field_validator("files", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _columns_known(self) -> TableConfig:
        if not self.header and self.columns is None:
            raise ValueError("'header: false' needs 'columns': the names in the order of the file")
        if self.header and self.columns is not None:
            raise ValueError("has 'columns' and a header; set 'header: false', or drop 'columns'")
        if self.columns is not None and len(set(self.columns)) < len(self.columns):
            twice = next(name for name in self.columns if self.columns.count(name) > 1)
            raise ValueError(f"column {twice!r} is named twice; each name once")
        if not (self.quote or "").isascii() or (len(self.delimiter) == 1 and not self.delimiter.isascii()):
            raise ValueError("a 'delimiter' or 'quote' of one character must be ASCII; write the file with another")
        if any(sign in "\r\n" for sign in self.delimiter + (self.quote or "")):
            raise ValueError("'delimiter' and 'quote' cannot hold an end of line; choose others")
        if len(self.delimiter) > 1 and self.quote is not None:
            raise ValueError("a delimiter of several characters goes with 'quote: null'")
        if self.quote is not None and self.quote == self.delimiter:
            raise ValueError("'quote' and 'delimiter' are the same; change one")
        return self


class DatasetConfig(Config):
    """The whole of a dataset.yaml."""

    name: str
    events: TableConfig
    users: TableConfig | None = None
    items: TableConfig | None = None
    features: dict[str, Feature]
    label: Label | None = None
    timestamp: Timestamp | None = None
    split: Split = Field(default_factory=Temporal)
    max_rejected_share: float = Field(0.01, ge=0, le=1, description="above this share of bad rows the run fails")
    shard_bytes: int = Field(64 << 20, ge=1, description="aimed size of one TFRecord file before compression")
    compression: Literal["gzip", "none"] = "gzip"

    @model_validator(mode="after")
    def _schema_holds(self) -> DatasetConfig:
        self.schema_of()
        return self

    def schema_of(self) -> Schema:
        return Schema(
            name=self.name,
            features=self.features,
            label=self.label,
            timestamp=self.timestamp,
            split=self.split,
        )

    def table(self, name: TableName) -> TableConfig | None:
        table: TableConfig | None = getattr(self, name)
        return table


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
    """Columns that a feature reads; none for a sequence."""
    if isinstance(feature, SequenceFeature):
        return ()
    if isinstance(feature, CategoricalFeature) and feature.flags is not None:
        return feature.flags
    return (feature.column or name,)
