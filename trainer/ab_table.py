"""The findings of an A/B test as people read them: a block for each metric and variant, a line for each question."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from tfrec.console import whole_table

if TYPE_CHECKING:
    from tfrec.experiment.analysis import Analysis, Finding

Line = tuple[str, str, str, str]  # what, value, interval, p-value


def print_analysis(console: Console, analysis: Analysis, *, alpha: float) -> None:
    """Print users per variant, a block per metric and variant, and warnings.

    Args:
        console: where to.
        analysis: the findings.
        alpha: level of the intervals.

    """
    shares = ", ".join(f"{name} {count:,}" for name, count in analysis.users.items())
    ratio = f"sample ratio p {_p(analysis.sample_ratio_p_value, has_sign=True)}"
    console.print(f"users: {shares} ({ratio})", highlight=False, markup=False, soft_wrap=True)
    table = whole_table("metric", "", "value", f"{100 * (1 - alpha):g} % interval", "p, corrected")
    for column in table.columns[2:]:
        column.justify = "right"
    for finding in analysis.findings:
        for place, line in enumerate(_lines(finding, analysis.control)):
            table.add_row(*map(Text, (finding.metric if not place else "", *line)))
        table.add_section()
    console.print(table)
    for finding in analysis.findings:
        if finding.variance_reduction is not None:
            name = f"{finding.metric}, {finding.variant}"
            console.print(
                f"{name}: covariates take away {finding.variance_reduction:.0%} of the variance", markup=False
            )
    for warning in analysis.warnings:
        console.print(f"warning: {warning}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def _lines(finding: Finding, control: str) -> list[Line]:
    """Both values, what lies between them, and what holds however often one looks."""
    effect, running = finding.effect, finding.sequential
    digits = _digits(effect.standard_error, effect.difference, effect.control)
    lines: list[Line] = [
        (control, f"{effect.control:,.{digits}f}", "", ""),
        (finding.variant, f"{effect.variant:,.{digits}f}", "", ""),
        ("difference", _signed(effect.difference, digits), _ends(effect.low, effect.high, digits),
         _p(finding.p_corrected)),
    ]  # fmt: skip
    if not math.isnan(effect.lift):
        lift = f"{100 * effect.lift_low:+.1f} to {100 * effect.lift_high:+.1f} %"
        lines.append(("lift", f"{100 * effect.lift:+.1f} %", lift, ""))
    if running is None or finding.sequential_p_corrected is None:
        lines.append(("at all looks", "", "too few users", ""))
    else:
        lines.append(("at all looks", "", _ends(running.low, running.high, digits), _p(finding.sequential_p_corrected)))
    return lines


def _digits(*sizes: float) -> int:
    """Decimals that show two digits of the first size that is not 0: what the error leaves to be told apart."""
    size = next((abs(size) for size in sizes if size and math.isfinite(size)), 1.0)
    return min(max(1 - math.floor(math.log10(size)), 0), 12)


def _signed(value: float, digits: int) -> str:
    return f"{value:+,.{digits}f}"


def _ends(low: float, high: float, digits: int) -> str:
    return f"{_signed(low, digits)} to {_signed(high, digits)}"


def _p(value: float, *, has_sign: bool = False) -> str:
    """`0.012`, or `< 0.001`; with a sign to stand in a sentence: `= 0.012`."""
    if value < 0.001:
        return "< 0.001"
    return f"= {value:.3f}" if has_sign else f"{value:.3f}"
