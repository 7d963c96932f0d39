"""When events happen, and which of them belong together."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tfrec.config_file import Config


class Timestamp(Config):
    """When an event happened. Without a timestamp the order of the files is the order of time.

    `unit`: of Unix time, or `iso` for texts such as 2024-01-31T12:00:00+01:00 (UTC where there is no offset).
    """

    column: str
    unit: Literal["s", "ms", "us", "ns", "iso"] = "s"

    @property
    def milliseconds(self) -> float:
        """Milliseconds in one unit."""
        return {"s": 1000.0, "ms": 1.0, "us": 0.001, "ns": 1e-6}[self.unit]


class Sessions(Config):
    """A user's events without a pause longer than `gap_minutes` are one session."""

    gap_minutes: float = Field(gt=0)
