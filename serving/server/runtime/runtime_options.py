"""How SavedModels are run."""

from __future__ import annotations

import dataclasses
import math

from serving.server.runtime.batching_options import BatchingOptions

SERVE_TAG = "serve"
NO_TIMEOUT = math.inf


@dataclasses.dataclass(frozen=True)
class RuntimeOptions:
    """A parallelism of 0 lets TensorFlow choose; without `batching` each call runs alone."""

    tags: tuple[str, ...] = (SERVE_TAG,)
    inter_op_parallelism_threads: int = 0
    intra_op_parallelism_threads: int = 0
    batching: BatchingOptions | None = None
