"""Counters and histograms under TF Serving's names, and the page that Prometheus reads."""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterable, Sequence

REQUEST_COUNT = ":tensorflow:serving:request_count"
REQUEST_LATENCY = ":tensorflow:serving:request_latency"

# Exponential from 10 µs, as TF Serving's: 33 limits and one bucket above them.
LATENCY_LIMITS = tuple(10 * 1.8**i for i in range(33))
# Names in requests are the callers' choice: past this many, new ones are counted together.
MAX_LABEL_SETS = 1000
OTHERS = "(others)"

Labels = tuple[tuple[str, str], ...]
# name, labels → the counter's value, or each bucket's count with the sum behind it
Samples = dict[tuple[str, Labels], list[float]]


class ServerMetrics:
    """What a server counts. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: Samples = {}

    def count_request(self, model: str, status: str) -> None:
        """Count a request that ended with the code of that name."""
        with self._lock:
            self._sample(REQUEST_COUNT, (("model_name", model), ("status", status)), 1)[0] += 1

    def add_latency(self, model: str, api: str, entrypoint: str, micros: float) -> None:
        """Add the time that an answered request took."""
        labels = (("model_name", model), ("API", api), ("entrypoint", entrypoint))
        with self._lock:
            sample = self._sample(REQUEST_LATENCY, labels, len(LATENCY_LIMITS) + 2)
            sample[bisect.bisect_right(LATENCY_LIMITS, micros)] += 1
            sample[-1] += micros

    def samples(self) -> Samples:
        """Return a copy of all values."""
        with self._lock:
            return {key: list(sample) for key, sample in self._samples.items()}

    def _sample(self, name: str, labels: Labels, size: int) -> list[float]:
        sample = self._samples.get((name, labels))
        if sample is None:
            if len(self._samples) >= MAX_LABEL_SETS:
                labels = (("model_name", OTHERS), *labels[1:])
            sample = self._samples.setdefault((name, labels), [0.0] * size)
        return sample


def added(parts: Iterable[Samples]) -> Samples:
    """Return the sum of several processes' values."""
    total: Samples = {}
    for samples in parts:
        for key, values in samples.items():
            before = total.get(key)
            total[key] = values if before is None else [a + b for a, b in zip(before, values, strict=True)]
    return total


def prometheus_page(samples: Samples) -> str:
    """Return the values in Prometheus's text format."""
    lines: list[str] = []
    named: dict[str, list[tuple[Labels, list[float]]]] = {}
    for (name, labels), values in sorted(samples.items()):
        named.setdefault(name, []).append((labels, values))
    for name, entries in named.items():
        is_counter = len(entries[0][1]) == 1
        lines.append(f"# TYPE {name} {'counter' if is_counter else 'histogram'}")
        for labels, values in entries:
            text = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels)
            if is_counter:
                lines.append(f"{name}{{{text}}} {values[0]:.0f}")
            else:
                lines.extend(_histogram_lines(name, text, values))
    return "\n".join(lines) + "\n"


def _histogram_lines(name: str, labels: str, values: Sequence[float]) -> Iterable[str]:
    count = 0.0
    for limit, in_bucket in zip([f"{limit:g}" for limit in LATENCY_LIMITS] + ["+Inf"], values[:-1], strict=True):
        count += in_bucket
        yield f'{name}_bucket{{{labels},le="{limit}"}} {count:.0f}'
    yield f"{name}_sum{{{labels}}} {values[-1]:g}"
    yield f"{name}_count{{{labels}}} {count:.0f}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
