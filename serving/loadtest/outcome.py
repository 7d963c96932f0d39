"""What became of the requests of one stage."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

from serving.loadtest.histogram import COARSE_BITS, Histogram

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)
TIMED_OUT = "DEADLINE_EXCEEDED"


@dataclasses.dataclass
class Outcome:
    """Counts of one stage, without its warm-up.

    `response` is the time from when a request was to start until its answer, `service` the time from when it was sent.
    They differ where the generator or a full pipe held it back: only the first tells what users would have seen. Both
    count answers and timeouts, which took at least as long; other failures are counted by their code alone. `lateness`
    is the time between the two starts.
    """

    seconds: float
    response: Histogram = dataclasses.field(default_factory=Histogram)
    service: Histogram = dataclasses.field(default_factory=Histogram)
    lateness: Histogram = dataclasses.field(default_factory=Histogram)
    answered: int = 0
    failures: Counter[str] = dataclasses.field(default_factory=Counter)
    versions: Counter[str] = dataclasses.field(default_factory=Counter)  # by "model/version"
    by_second: dict[int, Histogram] = dataclasses.field(default_factory=dict)  # response, by the second of the start

    def record(self, start: float, sent: float, end: float, failure: str | None, version: str | None) -> None:
        """Count one request; times in seconds since the measurement began."""
        self.lateness.record(_microseconds(sent - start))
        if failure is not None:
            self.failures[failure] += 1
        else:
            self.answered += 1
            if version is not None:
                self.versions[version] += 1
        if failure in (None, TIMED_OUT):
            response = _microseconds(end - start)
            self.response.record(response)
            self.service.record(_microseconds(end - sent))
            self.by_second.setdefault(int(start), Histogram(COARSE_BITS)).record(response)

    def add(self, other: Outcome) -> None:
        """Count what another process of the same stage has counted."""
        self.response.add(other.response)
        self.service.add(other.service)
        self.lateness.add(other.lateness)
        self.answered += other.answered
        self.failures += other.failures
        self.versions += other.versions
        for second, histogram in other.by_second.items():
            self.by_second.setdefault(second, Histogram(COARSE_BITS)).add(histogram)

    @property
    def requests(self) -> int:
        return self.answered + sum(self.failures.values())

    @property
    def answers_per_second(self) -> float:
        return self.answered / self.seconds

    @property
    def failed_share(self) -> float:
        return 1 - self.answered / self.requests if self.requests else 0.0

    def as_json(self) -> dict[str, Any]:
        """All figures, times in milliseconds."""
        return {
            "seconds": self.seconds,
            "requests": self.requests,
            "answered": self.answered,
            "answers_per_second": self.answers_per_second,
            "failures": dict(sorted(self.failures.items())),
            "versions": dict(sorted(self.versions.items())),
            "response_ms": _times(self.response),
            "service_ms": _times(self.service),
            "lateness_ms": _times(self.lateness),
        }


def _times(histogram: Histogram) -> dict[str, float | None]:
    if not histogram.count:
        return {}
    times = {f"p{percent:g}": histogram.percentile(percent) / 1e3 for percent in PERCENTILES}
    return {"mean": histogram.mean / 1e3, **times, "max": histogram.max / 1e3}


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)
