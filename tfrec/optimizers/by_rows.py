"""One optimiser for tables and matrices: a rule per group of variables, and of a table only the rows of the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfrec.optimizers.average import WeightAverage
from tfrec.optimizers.rules import Rule
from tfrec.row_sums import sum_rows

# Elements up to which a table is updated in one sweep with the untouched rows masked: finding the distinct rows of a
# batch costs more than that. The numbers are the same.
SMALL_TABLE = 1 << 17

Rate = float | Callable[[tf.Tensor], tf.Tensor]  # a schedule of the step


@dataclass(frozen=True)
class Group:
    """Variables that follow one rule.

    Attributes:
        rule: how their gradients change them.
        learning_rate: a number, or a schedule of the step.
        holds: whether a variable belongs to the group, by its name without the part of a shard. The first group that
            holds it counts.

    """

    rule: Rule
    learning_rate: Rate
    holds: Callable[[str], bool] = lambda name: True


class RowOptimizer(tf.keras.optimizers.Optimizer):  # type: ignore[misc]
    """Applies each group's rule; works under every strategy of `tf.distribute`, on sharded tables too.

    A gradient that comes as rows of a table (`tf.IndexedSlices`) changes those rows and their slots alone, each once
    with the sum of its gradients, so that a step costs the same for any size of the table.
    """

    def __init__(
        self, groups: Sequence[Group], *, clip_norm: float | None = None, average_decay: float | None = None
    ) -> None:
        """Make an optimiser.

        Args:
            groups: the first that holds a variable is its group.
            clip_norm: gradients of a step are scaled so that their joint norm is at most this (Pascanu et al. 2013).
            average_decay: of the weights' moving average, kept in `average`; None for no average.

        """
        super().__init__("row_optimizer", weight_decay=None, jit_compile=False)
        self._learning_rate = self._build_learning_rate(1.0)  # what Keras shows; the groups have their own
        self._groups = tuple(groups)
        self._clip_norm = clip_norm
        self.average = None if average_decay is None else WeightAverage(average_decay)

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Make the slots of the variables; called by the first `apply_gradients`, or before it."""
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        slots, rules = [], []
        for variable in var_list:
            group = self._group_of(variable)
            rules.append(group)
            slots.append([self._slot(variable, name, group) for name in group.rule.slots])
        self._slots_of = self._no_dependency(slots)  # saved as the optimiser's variables already
        self._group_at = rules
        if self.average is not None:
            self.average.build(var_list, self.add_variable_from_reference)
        self._built = True

    def _group_of(self, variable: tf.Variable) -> Group:
        name = variable.name.partition(":")[0].partition("/part_")[0]
        for group in self._groups:
            if group.holds(name):
                return group
        raise ValueError(f"no group of the optimiser holds the variable {name!r}")

    def _slot(self, variable: tf.Variable, name: str, group: Group) -> tf.Variable:
        rate = _rate(group, tf.constant(0, tf.int64), variable.dtype)
        return self.add_variable_from_reference(variable, name, initial_value=group.rule.first(name, variable, rate))

    def _clip_gradients(self, grads: Sequence[Any]) -> Sequence[Any]:
        return grads  # clipped below, when the gradients of a row have become one

    def _deduplicate_sparse_grad(self, grads: Sequence[Any]) -> list[Any]:
        if self._clip_norm is None:
            return list(grads)
        clipped, _ = tf.clip_by_global_norm([_by_distinct_row(gradient) for gradient in grads], self._clip_norm)
        return list(clipped)

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Apply one summed gradient to one variable, or one shard of it."""
        index = self._index_dict[self._var_key(variable)]
        group, slots = self._group_at[index], self._slots_of[index]
        step = tf.cast(self.iterations + 1, variable.dtype)
        rate = _rate(group, self.iterations, variable.dtype)
        average = None if self.average is None else self.average.of(index)
        if not isinstance(gradient, tf.IndexedSlices):
            group.rule.assign(variable, slots, gradient, rate, step)
        elif group.rule.every_row:
            group.rule.assign(variable, slots, tf.convert_to_tensor(gradient), rate, step)
        elif _is_small(variable):
            _assign_touched(group.rule, variable, slots, gradient, rate, step)
        else:
            gradient = gradient if self._clip_norm is not None else _by_distinct_row(gradient)
            rows = gradient.indices
            if average is not None:
                average.catch_up(variable, rows, self.iterations)
            value, changed = group.rule.update(
                tf.gather(variable, rows), [tf.gather(slot, rows) for slot in slots], gradient.values, rate, step
            )
            for slot, new in zip(slots, changed, strict=True):
                slot.scatter_update(tf.IndexedSlices(new, rows))
            variable.scatter_update(tf.IndexedSlices(value, rows))
            return
        if average is not None:
            average.follow(variable, self.iterations + 1)

    def rate_at(self, step: int) -> float:
        """Learning rate of the last group, which holds all that no other one does, after `step` steps."""
        rate = self._groups[-1].learning_rate
        return float(rate(tf.constant(step, tf.int64))) if callable(rate) else rate

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError("a RowOptimizer is made from a job's config, not from Keras' own")


def _rate(group: Group, step: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    rate = group.learning_rate
    return tf.cast(rate(step) if callable(rate) else rate, dtype)


def _is_small(variable: tf.Variable) -> bool:
    return int(variable.shape.num_elements()) <= SMALL_TABLE


def _by_distinct_row(gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor | tf.IndexedSlices:
    """Every row once, with the sum of its gradients."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, positions = tf.unique(gradient.indices)
    values = sum_rows(gradient.values, positions, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def _assign_touched(
    rule: Rule,
    variable: tf.Variable,
    slots: Sequence[tf.Variable],
    gradient: tf.IndexedSlices,
    rate: tf.Tensor,
    step: tf.Tensor,
) -> None:
    """As rows one by one, in a sweep over a small table."""
    rows = variable.shape[0]
    summed = sum_rows(gradient.values, gradient.indices, rows)
    ones = tf.ones_like(gradient.indices, dtype=tf.int32)
    touched = tf.math.unsorted_segment_sum(ones, gradient.indices, rows) > 0
    touched = tf.reshape(touched, [rows] + [1] * (variable.shape.rank - 1))
    value, changed = rule.update(variable, slots, summed, rate, step)
    for slot, new in zip(slots, changed, strict=True):
        slot.assign(tf.where(touched, new, slot))
    variable.assign(tf.where(touched, value, variable))
