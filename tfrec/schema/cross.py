"""A cross of features: one id for each combination of their values."""

from __future__ import annotations

from pydantic import Field, field_validator

from tfrec.config_file import Config


class Cross(Config):
    """The values of two or three features together, hashed: AND(age is 18–24, job is student) is one id of many.

    Models compute the ids, 1 … `hash_buckets`, from the encoded ids of the parts, in training and serving alike; 0
    where any part is missing. Nothing is written to the records for it.
    """

    of: tuple[str, ...] = Field(min_length=2, max_length=3, description="features with ids, one multi-valued at most")
    hash_buckets: int = Field(10_000, ge=1, lt=1 << 31)

    @field_validator("of")
    @classmethod
    def _different(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"{list(value)} names a feature twice; cross different ones")
        return value
