"""When events happen, and which of them belong together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import Field

from tfrec.config_file import Config


class Timestamp(Config):
    """When an event happened. Without a timestamp the order of the files is the order of time.

    `unit`: of Unix time, or `iso` for texts such as 2024-01-31T12:00:00+01:00 (UTC where there is no offset).
    """

    column: str
    unit: Literal["s", "ms", "us", "ns", "iso"] = "s"


class Sessions(Config):
    """A user's events without a pause longer than `gap_minutes` are one session."""

    gap_minutes: float = Field(gt=0)


def unix_ms(moment: datetime) -> int:
    """Unix time in ms of a date in a config; UTC where it has no offset."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
