"""What an event says: its label, its weight, and what is kept of how it was shown."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tfrec.config_file import Config


class Label(Config):
    """What is predicted.

    The value of `column`; with `threshold` whether it is at least that (1 or 0); with `values` whether it is one of
    these tokens, as for logged impressions: `{column: event, values: [click]}`.
    """

    column: str
    threshold: float | None = None
    values: tuple[str, ...] | None = Field(None, min_length=1, description="tokens that are 1; all others are 0")

    @field_validator("values", mode="before")
    @classmethod
    def _as_written(cls, value: Any) -> Any:
        return [_token(one) for one in value] if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _one_rule(self) -> Label:
        if self.threshold is not None and self.values is not None:
            raise ValueError("has both 'threshold' and 'values'; a number is compared or a token looked up, not both")
        return self

    @property
    def is_binary(self) -> bool:
        return self.threshold is not None or self.values is not None


class TypeWeight(Config):
    """A weight for each type of event; rows of a type that is not listed weigh `other`, or are not used."""

    column: str
    weights: dict[str, float] = Field(min_length=1)
    other: float | None = Field(None, ge=0, description="weight of all other types; null: such rows are left out")

    @field_validator("weights", mode="before")
    @classmethod
    def _as_written(cls, value: Any) -> Any:
        return {_token(key): weight for key, weight in value.items()} if isinstance(value, dict) else value

    @field_validator("weights")
    @classmethod
    def _not_negative(cls, value: dict[str, float]) -> dict[str, float]:
        for key, weight in value.items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"the weight of {key!r} is {weight}; weights are 0 or more")
        return value


class SignalWeight(Config):
    """A graded signal, such as seconds watched, turned into a weight.

    x = min(max(column, 0) / of, cap), then

    - `linear`: w = base + alpha · x                        (Hu et al. 2008, c = 1 + α r)
    - `log`:    w = base + alpha · log(1 + x / scale)       (Hu et al. 2008, eq. 6, ε = scale)

    `of` is a column (length of the video: x is the watched share) or absent (1). A missing or zero-length signal is 0.
    """

    column: str
    of: str | None = Field(None, description="column by which the signal is divided")
    cap: float | None = Field(None, gt=0)
    formula: Literal["linear", "log"] = "linear"
    alpha: float = Field(1.0, ge=0)
    scale: float = Field(1.0, gt=0)
    base: float = Field(1.0, ge=0)


class Weight(Config):
    """How much an event counts: the product of all that is given here. float32, 0 or more."""

    column: str | None = Field(None, description="a weight that stands in the log")
    by_type: TypeWeight | None = None
    by_signal: SignalWeight | None = None

    @model_validator(mode="after")
    def _something(self) -> Weight:
        if self.column is None and self.by_type is None and self.by_signal is None:
            raise ValueError("needs 'column', 'by_type' or 'by_signal'")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        named = [self.column, self.by_type and self.by_type.column]
        if self.by_signal is not None:
            named += [self.by_signal.column, self.by_signal.of]
        return tuple(name for name in named if name)


class Kept(Config):
    """A column that goes through to the records as it is, for evaluation."""

    column: str


def _token(value: Any) -> str:
    """YAML reads `true` and `1` as other types; in the log they are words."""
    return str(value).lower() if isinstance(value, bool) else str(value)
