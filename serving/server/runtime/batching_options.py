"""How calls are batched: TF Serving's BatchingParameters, from a file."""

from __future__ import annotations

import dataclasses
import itertools
import os
from pathlib import Path

from serving.protocol.server_files import BatchingParameters
from serving.protocol.text_files import read_text_proto
from tfrec.errors import ConfigError

_FLAG = "--batching_parameters_file"


@dataclasses.dataclass(frozen=True)
class BatchingOptions:
    """Sizes count rows. `allowed_batch_sizes`, if any, are what batches are padded to; the last is the largest."""

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False

    def __post_init__(self) -> None:
        for name, least in (("max_batch_size", 1), ("max_enqueued_batches", 1), ("num_batch_threads", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}: got {getattr(self, name)}; allowed: from {least}")
        if self.batch_timeout_micros < 0:
            raise ConfigError(f"batch_timeout_micros: got {self.batch_timeout_micros}; allowed: from 0")
        sizes = self.allowed_batch_sizes
        if not sizes:
            return
        if sizes[0] < 1 or any(low >= high for low, high in itertools.pairwise(sizes)):
            raise ConfigError("allowed_batch_sizes entries must be monotonically increasing")
        if sizes[-1] != self.max_batch_size:
            raise ConfigError(
                "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
                f"{sizes[-1]}; expected {self.max_batch_size}"
            )

    def padded_size(self, num_rows: int) -> int:
        """Return the smallest allowed size that holds `num_rows`."""
        return next((size for size in self.allowed_batch_sizes if size >= num_rows), num_rows)


def read_batching_parameters(path: Path) -> BatchingOptions:
    """Return the options that a BatchingParameters text proto holds; what it leaves out keeps its default."""
    parameters = read_text_proto(path, BatchingParameters(), _FLAG)
    names = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    given = {name: getattr(parameters, name).value for name in names if parameters.HasField(name)}
    try:
        return BatchingOptions(
            **given,
            allowed_batch_sizes=tuple(parameters.allowed_batch_sizes),
            pad_variable_length_inputs=parameters.pad_variable_length_inputs,
        )
    except ConfigError as error:
        raise ConfigError(f"{_FLAG}: {path}: {error}") from None
