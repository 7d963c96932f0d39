"""The strategies by name; apart from what makes them, because the flags should be known without TensorFlow."""

from __future__ import annotations

from typing import Literal, get_args

StrategyName = Literal["one", "mirrored", "multi-worker", "parameter-server"]
STRATEGIES: tuple[StrategyName, ...] = get_args(StrategyName)
SHARD_ROWS = 16_384  # a table of fewer rows stays on one parameter server: the kernels of networks have fewer
