"""Update rules, one equation each. All are elementwise, so the same code updates a matrix or some rows of a table."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import tensorflow as tf

Slots = Sequence[tf.Tensor]


@dataclass(frozen=True)
class Rule(abc.ABC):
    """How a gradient changes a weight.

    Attributes:
        slots: what is remembered beside every weight, with its first value.
        every_row: whether a gradient of some rows of a table also moves the other rows (by their momentum), at the cost
            of a step over the whole table.

    """

    slots: ClassVar[Mapping[str, float]] = {}

    @property
    def every_row(self) -> bool:
        return False

    def first(self, slot: str, value: tf.Variable, rate: tf.Tensor) -> tf.Tensor | None:
        """First values of a slot of the weights `value`, at the first rate; None for zeros."""
        first = self.slots[slot]
        return tf.fill(value.shape, first) if first else None

    @abc.abstractmethod
    def update(
        self, value: tf.Tensor, slots: Slots, gradient: tf.Tensor, rate: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return the new weights and slots.

        Args:
            value: weights, of any shape.
            slots: in the order of `slots`, of the same shape.
            gradient: of the same shape.
            rate: learning rate; a scalar.
            step: number of this update, from 1; a scalar of the weights' type.

        """

    def assign(
        self, variable: tf.Variable, slots: Sequence[tf.Variable], gradient: tf.Tensor, rate: tf.Tensor, step: tf.Tensor
    ) -> None:
        """Update a whole variable. A rule for which TensorFlow has one kernel calls that."""
        value, changed = self.update(variable, slots, gradient, rate, step)
        for slot, new in zip(slots, changed, strict=True):
            slot.assign(new)
        variable.assign(value)


@dataclass(frozen=True)
class Adam(Rule):
    r"""Adam (Kingma & Ba 2015, algorithm 1, in the form of their section 2 with ε outside the correction).

    .. math:: m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \beta_2 v + (1-\beta_2) g^2, \quad
              w \leftarrow w - \eta \frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t} \frac{m}{\sqrt v + \epsilon}

    On a table only the rows of the batch are updated, m and v included (known as lazy Adam): a row that is not looked
    up neither moves nor forgets. `dense` updates every row in every step, as Keras' Adam does.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    dense: bool = False

    slots: ClassVar[Mapping[str, float]] = {"m": 0.0, "v": 0.0}

    @property
    def every_row(self) -> bool:
        return self.dense

    def update(
        self, value: tf.Tensor, slots: Slots, gradient: tf.Tensor, rate: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        m = slots[0] + (gradient - slots[0]) * (1.0 - self.beta_1)
        v = slots[1] + (tf.square(gradient) - slots[1]) * (1.0 - self.beta_2)
        corrected = rate * tf.sqrt(1.0 - tf.pow(self.beta_2, step)) / (1.0 - tf.pow(self.beta_1, step))
        return value - corrected * m / (tf.sqrt(v) + self.epsilon), [m, v]

    def assign(
        self, variable: tf.Variable, slots: Sequence[tf.Variable], gradient: tf.Tensor, rate: tf.Tensor, step: tf.Tensor
    ) -> None:
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=slots[0].handle,
            v=slots[1].handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


@dataclass(frozen=True)
class Adagrad(Rule):
    r"""Adagrad (Duchi et al. 2011), with a first accumulator as in TensorFlow.

    .. math:: a \leftarrow a + g^2, \quad w \leftarrow w - \eta\, g / \sqrt{a + \epsilon}
    """

    epsilon: float = 1e-7

    slots: ClassVar[Mapping[str, float]] = {"accumulator": 0.1}

    def update(
        self, value: tf.Tensor, slots: Slots, gradient: tf.Tensor, rate: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        accumulator = slots[0] + tf.square(gradient)
        return value - rate * gradient * tf.math.rsqrt(accumulator + self.epsilon), [accumulator]


@dataclass(frozen=True)
class Ftrl(Rule):
    r"""FTRL-Proximal with L1 and L2 (McMahan et al. 2013, algorithm 1, β = 0): weights that carry nothing become 0.

    .. math:: n' = n + g^2, \quad u \leftarrow u + \eta g - (\sqrt{n'} - \sqrt n)\, w, \quad
              w \leftarrow \frac{\mathrm{clip}(u, -\eta\lambda_1, \eta\lambda_1) - u}{\sqrt{n'} + 2 \eta \lambda_2}

    u is the paper's z times the rate η: so kept, a rate that changes between the steps changes the steps, not the
    weights. It starts with the value whose weight is the one that is there, so that a weight that does not begin at 0
    is not lost at its first step.
    """

    l1: float = 0.0
    l2: float = 0.0

    slots: ClassVar[Mapping[str, float]] = {"accumulator": 0.1, "linear": 0.0}

    def first(self, slot: str, value: tf.Variable, rate: tf.Tensor) -> tf.Tensor | None:
        if slot != "linear":
            return super().first(slot, value, rate)
        root = self.slots["accumulator"] ** 0.5
        return -value * (root + 2.0 * rate * self.l2) - rate * self.l1 * tf.sign(value)

    def update(
        self, value: tf.Tensor, slots: Slots, gradient: tf.Tensor, rate: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        accumulator = slots[0] + tf.square(gradient)
        root = tf.sqrt(accumulator)
        linear = slots[1] + rate * gradient - (root - tf.sqrt(slots[0])) * value
        clipped = tf.clip_by_value(linear, -rate * self.l1, rate * self.l1)
        return (clipped - linear) / (root + 2.0 * rate * self.l2), [accumulator, linear]


@dataclass(frozen=True)
class SGD(Rule):
    r"""Gradient descent, :math:`w \leftarrow w - \eta\, g`."""

    def update(
        self, value: tf.Tensor, slots: Slots, gradient: tf.Tensor, rate: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        return value - rate * gradient, []
