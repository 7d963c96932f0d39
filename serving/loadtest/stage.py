"""One stage of a load test, and when its requests start."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Literal

from serving.client.options import Tls

Arrivals = Literal["poisson", "constant"]


@dataclasses.dataclass(frozen=True)
class Payload:
    """A serialized PredictRequest and the model that it is for."""

    model: str
    content: bytes


@dataclasses.dataclass(frozen=True)
class Stage:
    """Open loop with a `rate`: requests start when they are due, whatever became of the earlier ones, as users do.

    Closed loop with a `concurrency`: each of so many callers asks again when it has its answer; it finds the highest
    throughput, and hides waiting.
    """

    target: str
    seconds: float
    warmup_seconds: float
    timeout_seconds: float
    rate: float | None = None
    concurrency: int | None = None
    arrivals: Arrivals = "poisson"
    seed: int = 1
    tls: Tls | None = None

    @property
    def name(self) -> str:
        if self.rate is not None:
            return f"{self.rate:g}/s"
        return "1 caller" if self.concurrency == 1 else f"{self.concurrency} callers"

    def with_rate(self, rate: float) -> Stage:
        """The same in open loop."""
        return dataclasses.replace(self, rate=rate, concurrency=None)

    def with_concurrency(self, concurrency: int) -> Stage:
        """The same in closed loop."""
        return dataclasses.replace(self, rate=None, concurrency=concurrency)

    def parts(self, processes: int) -> list[Stage]:
        """The shares of so many processes; together they are this stage. Fewer where there are fewer callers."""
        if self.rate is not None:
            each = self.rate / processes
            return [dataclasses.replace(self, rate=each, seed=self.seed * 1000 + i) for i in range(processes)]
        assert self.concurrency is not None
        callers = [self.concurrency // processes + (i < self.concurrency % processes) for i in range(processes)]
        return [
            dataclasses.replace(self, concurrency=number, seed=self.seed * 1000 + i)
            for i, number in enumerate(callers)
            if number
        ]

    def starts(self) -> Iterator[float]:
        """Seconds from the stage's beginning at which its requests are due, warm-up and all."""
        assert self.rate is not None
        end = self.warmup_seconds + self.seconds
        draw = random.Random(self.seed)
        # A constant rate begins somewhere within its first gap, or several processes would start as one.
        at = draw.random() / self.rate if self.arrivals == "constant" else draw.expovariate(self.rate)
        while at < end:
            yield at
            at += 1 / self.rate if self.arrivals == "constant" else draw.expovariate(self.rate)

    def drawn(self, payloads: Sequence[Payload]) -> Iterator[Payload]:
        """The payloads without end, from a place of this part's own."""
        offset = random.Random(self.seed).randrange(len(payloads))
        return itertools.cycle([*payloads[offset:], *payloads[:offset]])
