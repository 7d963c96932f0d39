"""Which rows of a variable belong to which feature: what lets a later model take them over."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from tfrec.layers.tables import RowPlan


@dataclass(frozen=True)
class IdTable:
    """Rows of a variable that belong to one feature.

    Attributes:
        variable: plain, replicated or row-sharded.
        feature: whose ids look the rows up; or, with a plan of kind "fixed", whose number or vector they multiply, so
            that they mean the same for any vocabulary.
        first_row: of the feature.
        plan: how ids become rows, counted from the first.
        is_quotient: the variable is the second of the two tables of a quotient_remainder plan.
        content: further features of the same entity, which say something of an id that was never trained.

    """

    variable: tf.Variable
    feature: str
    first_row: int
    plan: RowPlan
    is_quotient: bool = False
    content: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return self.plan.quotients if self.is_quotient else self.plan.rows


def fixed_rows(variable: tf.Variable, feature: str, first_row: int, rows: int = 1) -> IdTable:
    """Rows of a feature that no id looks up: of a number, or of a field's place in the input of a matrix."""
    return IdTable(variable, feature, first_row, RowPlan(rows, 0, "fixed"))
