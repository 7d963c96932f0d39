"""What a training step must at least cost: arithmetic and memory traffic, counted from the shapes.

A step cannot be faster than its floating-point operations at the device's rate, nor than its bytes at the device's
bandwidth (Williams, Waterman & Patterson 2009). What is left above both is launches, latency and everything unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

FLOAT = 4  # bytes
# A row that is looked up is read, its gradient written and read; its weights and both moments of Adam read and written.
TOUCHES_OF_A_ROW = 3 + 6


@dataclass(frozen=True)
class Cost:
    """Of one example, forward, backward and update."""

    flops: float
    table_bytes: float

    def least_seconds(self, examples: float, flops_per_second: float, bytes_per_second: float) -> tuple[float, float]:
        """Seconds by arithmetic alone and by table traffic alone."""
        return examples * self.flops / flops_per_second, examples * self.table_bytes / bytes_per_second


def mlp_flops(units: Sequence[int]) -> float:
    """Of an MLP with these widths, input and output included: a multiply-add a weight, forward and twice backward."""
    return 6.0 * sum(fan_in * fan_out for fan_in, fan_out in pairwise(units))


def ranking_cost(fields: int, dim: int, hidden_units: Sequence[int]) -> Cost:
    """DeepFM or Wide & Deep over single-valued fields: the MLP, and a row with its linear weight for each field."""
    return Cost(mlp_flops([fields * dim, *hidden_units, 1]), fields * (dim + 1) * FLOAT * TOUCHES_OF_A_ROW)


def two_tower_cost(history: int, dim: int, candidates: int) -> Cost:
    """Two towers of embeddings, the user's with a history, and a softmax over the candidates of the batch."""
    return Cost(6.0 * candidates * dim, (2 + history) * dim * FLOAT * TOUCHES_OF_A_ROW)


def bound_by(input_seconds: float, step_seconds: float, both_seconds: float) -> str:
    """What a step waits for.

    Args:
        input_seconds: a batch of the input pipeline alone takes.
        step_seconds: a step takes with its batch at hand.
        both_seconds: a step takes in training.

    """
    if both_seconds > 1.15 * max(input_seconds, step_seconds):
        return "input and step do not overlap"
    return "input" if input_seconds > step_seconds else "step"
