"""A job that holds nothing back: it trains for a number of epochs that was chosen before, and keeps the last."""

from __future__ import annotations

from tfrec.models.learning import GradientModel

STEPS = "steps"  # as train.monitor


class Unvalidated:
    """Stands where `Validation` would: each epoch is better than the one before, for it has more steps behind it."""

    names = (STEPS,)
    default_monitor = STEPS

    def __init__(self, model: GradientModel) -> None:
        self._model = model

    def __call__(self) -> dict[str, float]:
        return {STEPS: float(self._model.steps_taken)}
