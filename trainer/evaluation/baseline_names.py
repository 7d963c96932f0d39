"""What a baseline is called beside a model that may be of the same name."""

from __future__ import annotations

from tfrec.models.registry import model_class

SHARES = "training_shares"  # how often each value of a predicted context feature occurs: it makes no lists


def baseline_label(baseline: str, model: str) -> str:
    """`ease (tuned)` beside a job of `ease`, whose settings are the job's own; else the baseline's name."""
    if baseline != model:
        return baseline
    return f"{baseline} (tuned)" if model_class(baseline).search_space else f"{baseline} (baseline)"
