"""An evaluation as people read it."""

from __future__ import annotations

from rich.console import Console

from tfrec.console import whole_table
from tfrec.off_policy import Estimate, OffPolicyEvaluation


def print_evaluation(console: Console, title: str, found: OffPolicyEvaluation, units: str) -> None:
    """The table of estimates, the weights, and what is wrong with them.

    Args:
        console: where to.
        title: what was judged.
        found: the estimates.
        units: how many rows there are, and what is independent of what.

    """
    console.print(f"{title}; {units}", soft_wrap=True)
    table = whole_table("estimator", "value", "error", "95 % interval")
    table.add_row("(the log itself)", *_cells(found.logged_value))
    for estimate in found.estimates:
        table.add_row(estimate.estimator, *_cells(estimate))
    console.print(table)
    for estimate in found.estimates:
        if not estimate.claims_interval:
            console.print(f"({estimate.estimator}: no interval claimed; {_why_not(estimate)})", soft_wrap=True)
    weights = whole_table("weights", "mean: 1 if right", "p", "effective rows", "effective units", "largest", "zero")
    for name, check in found.weights.items():
        weights.add_row(
            name,
            f"{float(check.mean):.3f} [{float(check.mean_low):.3f}, {float(check.mean_high):.3f}]",
            f"{float(check.mean_p_value):.2g}",
            f"{float(check.effective_rows):,.1f}",
            f"{float(check.effective_clusters):,.1f}",
            f"{float(check.largest):,.2f}",
            f"{float(check.zero_share):.1%}",
        )
    console.print(weights)
    for warning in found.warnings():
        console.print(f"warning: {warning}", style="yellow", soft_wrap=True)


def _cells(estimate: Estimate) -> tuple[str, str, str]:
    interval = f"{float(estimate.low):.4g} to {float(estimate.high):.4g}"
    return (
        f"{float(estimate.value):.4g}",
        f"{float(estimate.standard_error):.2g}",
        interval if estimate.claims_interval else f"({interval})",
    )


def _why_not(estimate: Estimate) -> str:
    if estimate.why_not is None:
        return "too few effective units"
    bound = estimate.bias_bound
    return estimate.why_not if bound is None else f"{estimate.why_not}, of at most about {float(bound):.3g}"
