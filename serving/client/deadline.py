"""The moment at which the answer is no use any more; all steps of a call share it."""

from __future__ import annotations

import dataclasses
import time


@dataclasses.dataclass(frozen=True)
class Deadline:
    """`timeout_seconds` as it was asked for, and the moment of the monotonic clock that it ends at."""

    timeout_seconds: float
    ends_at: float

    @classmethod
    def after(cls, timeout_seconds: float) -> Deadline:
        """The deadline that begins now."""
        return cls(timeout_seconds, time.monotonic() + timeout_seconds)

    def remaining_seconds(self) -> float:
        """Time that is left; 0 once it is over."""
        return max(0.0, self.ends_at - time.monotonic())
