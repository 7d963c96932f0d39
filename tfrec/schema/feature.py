"""What a feature is: its role, its kind, where its raw value comes from and what it is encoded to."""

from __future__ import annotations

from typing import Annotated, Literal, Self

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
    list: bool = Field(False, description="the column holds lists (JSONL, Parquet)")
    flags: tuple[str, ...] | None = Field(None, description="0/1 columns; the value is the names of those set")
    max_values: int = Field(16, ge=1, description="values kept of a multi-valued cell")
    min_count: int = Field(1, ge=1, description="rarer tokens are out of vocabulary")
    max_size: int | None = Field(None, ge=1, description="most frequent tokens kept")
    num_oov_indices: int = Field(1, ge=1)
    hash_buckets: int | None = Field(None, ge=1, lt=1 << 31)
    default: str = Field("", description="token that stands for a missing value; '' is id 0")

    @property
    def multivalued(self) -> bool:
        return self.list or self.separator is not None or self.flags is not None

    @property
    def first_token_id(self) -> int:
        """The id of the vocabulary's first token."""
        return FIRST_OOV_ID + self.num_oov_indices

    @model_validator(mode="after")
    def _one_source(self) -> CategoricalFeature:
        if sum((self.separator is not None, self.flags is not None, self.list)) > 1:
            raise ValueError("has two of 'separator', 'flags' and 'list'; several values come from one of them")
        if self.flags is not None and self.column is not None:
            raise ValueError("has both 'column' and 'flags'; the flags are the columns")
        if self.id and self.default:
            raise ValueError("is an id: a row without it is rejected, so it has no 'default'; drop it")
        if self.id and (self.multivalued or self.hash_buckets is not None or self.role == "context"):
            raise ValueError(
                "is an id: it needs a vocabulary, a single value, and the role user or item; "
                "drop 'separator', 'flags', 'list' and 'hash_buckets'"
            )
        return self


class NumericFeature(FeatureBase):
    """A number; encoded to float32, or with `buckets` to an int64 quantile bucket (0 is missing).

    Without buckets: x' = (g(x) − mean) / std over the training split, with g = log(1 + x) where `log` is set; a
    missing value becomes `default`, or the training mean (so 0 after standardising).

    With `so_far` the number has no column: it counts earlier events at the time of each event, of the same item
    (`item_events`, those with an earlier timestamp: what happens at one instant knows nothing of each other) or of
    the same user (`user_events`, those before in the user's order).
    """

    kind: Literal["numeric"] = "numeric"
    log: bool = Field(False, description="log(1 + x) first; for counts and amounts")
    standardize: bool = True
    buckets: int | None = Field(None, ge=2, description="quantile buckets instead of a float")
    default: float | None = Field(None, description="the value of a missing one; the training mean by default")
    so_far: Literal["item_events", "user_events"] | None = Field(None, description="count earlier events instead")

    @model_validator(mode="after")
    def _counts_what_its_role_is(self) -> NumericFeature:
        if self.so_far is None:
            return self
        if self.column is not None:
            raise ValueError("has both 'column' and 'so_far'; a count has no column")
        if self.so_far != f"{self.role}_events":
            raise ValueError(f"so_far: {self.so_far} needs role {self.so_far.partition('_')[0]}, got {self.role}")
        return self


class TextTokens(Config):
    """How a text becomes ids: its words, in lower case, with the ids of a multi-valued categorical feature."""

    max_tokens: int = Field(16, ge=1, description="words kept, from the first on")
    min_count: int = Field(1, ge=1, description="rarer words are out of vocabulary")
    max_size: int | None = Field(None, ge=1, description="most frequent words kept")
    num_oov_indices: int = Field(1, ge=1)
    hash_buckets: int | None = Field(None, ge=1, lt=1 << 31)


class TextFeature(FeatureBase):
    """Text that people read, such as a title: kept raw in the catalogue, returned by the `items` signature.

    With `tokens` it is also encoded, to int64 ids [max_tokens] of its words (runs of letters and digits, lower-cased),
    padded at the end with 0.
    """

    kind: Literal["text"] = "text"
    tokens: TextTokens | None = Field(None, description="encode the words too; {} for the defaults")

    @property
    def as_categorical(self) -> CategoricalFeature:
        """The multi-valued feature whose values are the words.

        Raises:
            ValueError: the text is not encoded.

        """
        if self.tokens is None:
            raise ValueError("this text has no tokens")
        settings = self.tokens.model_dump(exclude={"max_tokens"})
        return CategoricalFeature(role=self.role, list=True, max_values=self.tokens.max_tokens, **settings)


class SeveralNumbers(FeatureBase):
    """Keys of features whose cell holds several numbers: written with a separator, or a list."""

    separator: str | None = Field(None, min_length=1, description="divides the numbers of a cell")
    list: bool = Field(False, description="the column holds lists (JSONL, Parquet)")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.separator is not None) == self.list:
            raise ValueError("needs either 'separator', which divides the numbers of a cell, or 'list: true'")
        return self


class VectorFeature(SeveralNumbers):
    """A precomputed vector, such as an embedding of a picture; encoded to float32 [length], as it is.

    Zeros where it is missing. A cell with another number of values rejects its row.
    """

    kind: Literal["vector"] = "vector"
    length: int = Field(ge=1, le=10_000, description="numbers of every vector")


class WeightsFeature(SeveralNumbers):
    """How much each value of a multi-valued categorical feature counts; encoded to float32 [max_values of `of`].

    Weight i belongs to value i. It is 1 where the cell has fewer weights than values, or an empty one, and 0 where the
    feature has padding. A cell with more weights than values, or with a negative one, rejects its row.
    """

    kind: Literal["weights"] = "weights"
    of: str = Field(description="a categorical feature of the same role with 'separator' or 'list: true'")
    max_values: int | None = Field(None, ge=1, description="that of `of`, which the schema fills in")


class SequenceFeature(FeatureBase):
    """The user's last `length` events before this one, oldest first: their items, or what `of` says of them.

    A sequence has no column: it is built from the events themselves, in order of time, then of the file. Sequences of
    one length, `within` and `labels` stand side by side: position i of each is the same event.

    `of` names a single-valued categorical feature (encoded with its vocabulary; the item id by default), or

    - `label`: the label's value before any threshold. float32
    - `event_time_ms`: when it happened; gaps to the request follow from it, then as now. int64
    - `gap_seconds`: since the user's event before it, 0 for the first. float32
    """

    kind: Literal["sequence"] = "sequence"
    role: Literal["user"] = "user"
    column: None = None
    length: int = Field(50, ge=1, le=10_000)
    of: str | None = Field(None, description="a categorical feature, label, event_time_ms or gap_seconds")
    within: Literal["user", "session"] = Field("user", description="session: only events of the same session")
    labels: Literal["all", "positive"] = Field("all", description="positive: only events whose label is above 0")


Feature = Annotated[
    CategoricalFeature | NumericFeature | TextFeature | VectorFeature | WeightsFeature | SequenceFeature,
    Field(discriminator="kind"),
]
