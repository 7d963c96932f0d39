"""Which sound events are used: a time range, duplicates, users and items with enough events, no bots."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from tfrec.config_file import Config
from tfrec.schema import unix_ms
from transforms.read.reasons import Reasons

DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class KeepNegatives(Config):
    """Which training events of label 0 stay.

    Chosen by a hash of an event's place in the log: the same ones on every machine and in every run.
    """

    share: float = Field(gt=0, le=1)
    seed: int = 0


class Filters(Config):
    """Events that the caller does not want; left out and counted, never silently.

    All but the time range are counted over the whole log, held-out events included, as the literature does.
    """

    time_from: datetime | None = Field(None, description="earlier events are left out; UTC without an offset")
    time_until: datetime | None = Field(None, description="events at this time or later are left out")
    future: Literal["reject", "keep"] = Field("reject", description="events more than a day after the run began")
    duplicates: Literal["exact", "user_item_time", "user_item", "keep"] | None = Field(
        None,
        description="what is one event; exact, but keep without timestamp or with given splits",
    )
    duplicates_keep: Literal["first", "last"] = "first"
    min_user_events: int = Field(1, ge=1, description="k-core: repeated until all that is left has enough")
    min_item_events: int = Field(1, ge=1)
    max_user_events: int | None = Field(None, ge=1, description="users with more are bots and left out whole")
    max_user_events_per_day: int | None = Field(None, ge=1, description="likewise, on any day (UTC)")
    keep_negatives: KeepNegatives | None = Field(
        None, description="write only a share of the training events with label 0; all others are written"
    )

    @model_validator(mode="after")
    def _range(self) -> Filters:
        if self.time_from and self.time_until and unix_ms(self.time_from) >= unix_ms(self.time_until):
            raise ValueError(f"time_from {self.time_from} is not before time_until {self.time_until}; swap them")
        return self

    @property
    def is_core(self) -> bool:
        """Whether users or items with few events are left out."""
        return self.min_user_events > 1 or self.min_item_events > 1


@dataclass(frozen=True)
class TimeLimits:
    """Times in ms between which events are used.

    Attributes:
        earliest: events before are left out; None: no limit.
        until: events from here on are left out.
        known_until: events up to here are in the base dataset already.
        latest: events after this lie in the future and are rejected.

    """

    earliest: int | None = None
    until: int | None = None
    known_until: int | None = None
    latest: int | None = None

    @classmethod
    def of(cls, filters: Filters, now_ms: int, known_until: int | None = None) -> TimeLimits:
        """Limits of a run that began at `now_ms`; clocks and time zones may be up to a day apart."""
        return cls(
            None if filters.time_from is None else unix_ms(filters.time_from),
            None if filters.time_until is None else unix_ms(filters.time_until),
            known_until,
            now_ms + DAY_MS if filters.future == "reject" else None,
        )

    def check(self, times: np.ndarray, column: str, reasons: Reasons) -> None:
        """Tell `reasons` which rows lie outside."""
        if self.latest is not None:
            reasons.add(times > self.latest, lambda row: f"{column} lies in the future: {_text(int(times[row]))}")
        if self.earliest is not None:
            reasons.leave_out(times < self.earliest, "before filters.time_from")
        if self.until is not None:
            reasons.leave_out(times >= self.until, "not before filters.time_until")
        if self.known_until is not None:
            reasons.leave_out(times <= self.known_until, "not after the last event of the base dataset")


def _text(time_ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="seconds")
