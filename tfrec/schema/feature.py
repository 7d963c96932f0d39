"""What a feature is: its role, its kind, where its raw value comes from and what it is encoded to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tfrec.config_file import Config

FeatureRole = Literal["user", "item", "context"]

PADDING_ID = 0  # the same everywhere: padding, and a missing value that has no default
FIRST_OOV_ID = 1


class FeatureBase(Config):
    """Keys that every kind of feature has."""

    role: FeatureRole
    column: str | None = Field(None, description="column of the log; the feature's own name by default")


class CategoricalFeature(FeatureBase):
    """One or several tokens of a vocabulary (or hashed); encoded to int64 ids.

    Id 0 is padding or missing, ids 1 … `num_oov_indices` are out of vocabulary, then the vocabulary, the most
    frequent token first. With `hash_buckets` there is no vocabulary: id = 1 + hash(token) mod `hash_buckets`.
    """

    kind: Literal["categorical"] = "categorical"
    id: bool = Field(False, description="this feature identifies the user (role user) or the item (role item)")
    separator: str | None = Field(None, min_length=1, description="splits a cell into several values")
    flags: tuple[str, ...] | None = Field(None, description="0/1 columns; the value is the names of those set")
    max_values: int = Field(16, ge=1, description="values kept of a multi-valued cell")
    min_count: int = Field(1, ge=1, description="rarer tokens are out of vocabulary")
    max_size: int | None = Field(None, ge=1, description="most frequent tokens kept")
    num_oov_indices: int = Field(1, ge=1)
    hash_buckets: int | None = Field(None, ge=1)
    default: str = Field("", description="token that stands for a missing value; '' is id 0")

    @property
    def multivalued(self) -> bool:
        return self.separator is not None or self.flags is not None

    @property
    def first_token_id(self) -> int:
        """The id of the vocabulary's first token."""
        return FIRST_OOV_ID + self.num_oov_indices

    @model_validator(mode="after")
    def _one_source(self) -> CategoricalFeature:
        if self.separator is not None and self.flags is not None:
            raise ValueError("has both 'separator' and 'flags'; a cell is split or flags are read, not both")
        if self.flags is not None and self.column is not None:
            raise ValueError("has both 'column' and 'flags'; the flags are the columns")
        if self.id and (self.multivalued or self.hash_buckets is not None or self.role == "context"):
            raise ValueError(
                "is an id: it needs a vocabulary, a single value, and the role user or item; "
                "drop 'separator', 'flags' and 'hash_buckets'"
            )
        return self


class NumericFeature(FeatureBase):
    """A number; encoded to float32, or with `buckets` to an int64 quantile bucket (0 is missing).

    Without buckets: x' = (g(x) − mean) / std over the training split, with g = log(1 + x) where `log` is set; a
    missing value becomes `default`, or the training mean (so 0 after standardising).
    """

    kind: Literal["numeric"] = "numeric"
    log: bool = Field(False, description="log(1 + x) first; for counts and amounts")
    standardize: bool = True
    buckets: int | None = Field(None, ge=2, description="quantile buckets instead of a float")
    default: float | None = Field(None, description="the value of a missing one; the training mean by default")


class TextFeature(FeatureBase):
    """Text that people read, such as a title: kept raw in the catalogue, returned by the `items` signature."""

    kind: Literal["text"] = "text"


class SequenceFeature(FeatureBase):
    """The user's last `length` items before the event, oldest first; encoded with the item id's vocabulary.

    A sequence has no column: it is built from the events themselves, in order of time, then of the file.
    """

    kind: Literal["sequence"] = "sequence"
    role: Literal["user"] = "user"
    column: None = None
    length: int = Field(50, ge=1, le=10_000)


Feature = Annotated[CategoricalFeature | NumericFeature | TextFeature | SequenceFeature, Field(discriminator="kind")]
