r"""Learning rates over time.

η is the rate, t the step, w the steps of warm-up, d those of the decay, s the steps since the warm-up, at most d, and ε
the share that is left at the end:

====================  =============================================
while warming up      η · (t + 1) / w
constant              η
linear                η · (1 − (1 − ε) · s / d)
cosine                η · (ε + (1 − ε) · (1 + cos(π s / d)) / 2)   (Loshchilov & Hutter 2017, eq. 5)
exponential           η · ε^(s / d)
inverse_sqrt          η · √(w / (w + s)), with no end              (Vaswani et al. 2017, eq. 3)
====================  =============================================
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from trainer.config import Schedule


def learning_rate(config: Schedule, rate: float, total_steps: int) -> float | Callable[[tf.Tensor], tf.Tensor]:
    """Return the rate, or a function of the step (from 0)."""
    warmup = config.warmup_steps
    if config.kind == "constant" and not warmup:
        return rate
    decay = config.decay_steps or max(total_steps - warmup, 1)

    def at(step: tf.Tensor) -> tf.Tensor:
        count = tf.cast(step, tf.float32)
        since = tf.maximum(count - warmup, 0.0)
        value = _decayed(config, tf.minimum(since / decay, 1.0), since)
        if warmup:
            value = tf.where(count < warmup, (count + 1.0) / warmup, value)
        return rate * value

    return at


def _decayed(config: Schedule, share: tf.Tensor, since: tf.Tensor) -> tf.Tensor:
    """Share of the rate; `share` of the decay is over, `since` steps are."""
    if config.kind == "linear":
        return 1.0 - (1.0 - config.end) * share
    if config.kind == "cosine":
        return config.end + (1.0 - config.end) * 0.5 * (1.0 + tf.cos(math.pi * share))
    if config.kind == "exponential":
        return tf.pow(config.end, share)
    if config.kind == "inverse_sqrt":
        first = float(max(config.warmup_steps, 1))
        return tf.sqrt(first / (first + since))
    return tf.ones_like(share)
