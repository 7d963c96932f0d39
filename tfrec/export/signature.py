"""Signatures whose inputs are named at export and may be left out of a request.

TensorFlow writes the default of a tf.function's argument into SignatureDef.defaults, and TF Serving fills it in. The
inputs here depend on the schema, so the argument list is built rather than written.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.feature_transform import is_missing, missing_value


@dataclass(frozen=True)
class Input:
    """One input of a signature: its spec, and the tensor that stands for it where a request leaves it out."""

    spec: tf.TensorSpec
    default: tf.Tensor | None = None


def signature_function(compute: Callable[[Tensors], Tensors], inputs: dict[str, Input]) -> Any:
    """A tf.function with one named argument per input, those without a default first."""
    required = [name for name, one in inputs.items() if one.default is None]
    optional = [name for name, one in inputs.items() if one.default is not None]
    names = required + optional

    def call(*arguments: tf.Tensor, **named: tf.Tensor) -> Tensors:
        return compute({**dict(zip(names, arguments, strict=False)), **named})

    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty if inputs[name].default is None else inputs[name].default,
            )
            for name in names
        ]
    )
    specs = [tf.TensorSpec(inputs[n].spec.shape, inputs[n].spec.dtype, name=n) for n in names]
    return tf.function(call, input_signature=specs, autograph=False)


def input_defaults(function: Any) -> dict[str, tf.Tensor]:
    """Inputs of a signature that a request may leave out, and what then stands for them."""
    parameters = inspect.signature(function.python_function).parameters.values()
    return {one.name: one.default for one in parameters if isinstance(one.default, tf.Tensor)}


def missing(spec: tf.TensorSpec) -> Input:
    """An input that may be left out: "", NaN or 0, with a first dimension of 1 that is broadcast to the batch."""
    return Input(spec, tf.fill([1] * spec.shape.rank, tf.constant(missing_value(spec.dtype), spec.dtype)))


def is_given(raw: tf.Tensor) -> tf.Tensor:
    """Bool [batch]: whether a request has a value, in any column."""
    present = tf.logical_not(is_missing(raw))
    return tf.reduce_any(present, axis=1) if raw.shape.rank == 2 else present


def broadcast_batch(values: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
    """[1, …] or [batch, …] → [batch, …]."""
    return tf.broadcast_to(values, tf.concat([[batch], tf.shape(values)[1:]], axis=0))
