"""Filters by what is known of items: declared at export, given per request.

`genres` allows items with any of the given values, `min_age<=` those up to a given number, `year>=` those from one on.
Values are compared as the log has them, so that rare ones, which models do not tell apart, are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import tensorflow as tf

from tfrec.config_file import Config
from tfrec.dataset.records import Arrays, Tensors
from tfrec.errors import ConfigError, did_you_mean
from tfrec.export.id_lookup import IdLookup
from tfrec.export.signature import Input, missing
from tfrec.schema import CategoricalFeature, Feature, NumericFeature, Schema

_DECLARATION = re.compile(r"(?P<feature>\w+)\s*(?P<sign><=|>=)?")
TOKENS, NUMBER = tf.TensorSpec([None, None], tf.string), tf.TensorSpec([None], tf.float32)
_KINDS: dict[str, Literal["at_most", "at_least"]] = {"<=": "at_most", ">=": "at_least"}


class AttributeFilter(Config):
    """One filter of an export."""

    feature: str
    kind: Literal["any_of", "at_most", "at_least"]

    @property
    def input_name(self) -> str:
        """The input of `recommend` that takes its values."""
        return f"filter_{self.feature}" + ("" if self.kind == "any_of" else f"_{self.kind}")

    @property
    def declaration(self) -> str:
        """As `parse_filters` reads it."""
        signs: dict[str, str] = {kind: sign for sign, kind in _KINDS.items()}
        return self.feature + signs.get(self.kind, "")


def parse_filters(declared: Sequence[str], schema: Schema) -> tuple[AttributeFilter, ...]:
    """`genres`, `min_age<=` or `year>=` → filters; a number without a sign may be limited from both sides.

    Raises:
        ConfigError: no such item feature, one of another kind, or one that stands twice.

    """
    found = [one for text in declared for one in _parse(text, schema)]
    for place, one in enumerate(found):
        if one in found[:place]:
            raise ConfigError(f"--filter {one.feature}: stands twice; keep one")
        if one.input_name in schema.features:
            raise ConfigError(f"--filter {one.feature}: {one.input_name!r} is a feature's name too; rename the feature")
    return tuple(found)


def _parse(text: str, schema: Schema) -> list[AttributeFilter]:
    match = _DECLARATION.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"--filter {text!r}: write a feature's name, or NAME<= or NAME>= for a number")
    name, sign = match["feature"], match["sign"]
    allowed = {n: f for n, f in schema.of_role("item").items() if _can_filter(f)}
    if name not in allowed:
        raise ConfigError(
            f"--filter {text}: {name!r} is no categorical or numeric item feature{did_you_mean(name, allowed)}"
        )
    if isinstance(allowed[name], NumericFeature):
        return [AttributeFilter(feature=name, kind=_KINDS[one]) for one in ([sign] if sign else _KINDS)]
    if sign:
        raise ConfigError(f"--filter {text}: {name!r} has values without an order; write --filter {name}")
    return [AttributeFilter(feature=name, kind="any_of")]


def _can_filter(feature: Feature) -> bool:
    if isinstance(feature, NumericFeature):
        return feature.so_far is None  # a count changes from event to event
    return isinstance(feature, CategoricalFeature)


class Passing(Protocol):
    """One filter in the graph."""

    @property
    def input(self) -> Input:
        """What a request gives; without it the filter is not used."""

    def is_given(self, values: tf.Tensor) -> tf.Tensor:
        """Bool [batch or 1]: whether a request's row uses the filter."""

    def passes(self, values: tf.Tensor) -> tf.Tensor:
        """Bool [batch or 1, num_items]; anything where the row does not use it."""


class AttributeFilters(tf.Module):
    """All filters of an export."""

    def __init__(self, filters: Sequence[AttributeFilter], raw_items: Arrays, schema: Schema, scratch: Path) -> None:
        """Build the tables.

        Args:
            filters: declared ones.
            raw_items: their features, as `read_raw` returns them, by item index.
            schema: of the dataset.
            scratch: directory for files that become assets of the SavedModel.

        """
        super().__init__(name="attribute_filters")
        self._filters: dict[str, Passing] = {
            one.input_name: _build(one, raw_items[one.feature], schema.features[one.feature], scratch)
            for one in filters
        }

    def inputs(self) -> dict[str, Input]:
        return {name: one.input for name, one in self._filters.items()}

    def is_given(self, request: Tensors) -> tf.Tensor:
        """Whether any row of a request uses any filter. bool scalar"""
        given = [tf.reduce_any(one.is_given(request[name])) for name, one in self._filters.items()]
        return tf.reduce_any(tf.stack([tf.constant(False), *given]))

    def restrict(self, allowed: tf.Tensor, request: Tensors) -> tf.Tensor:
        """Of the items that rows allow, bool [batch or 1, num_items], those that pass their filters."""
        for name, one in self._filters.items():
            values = request[name]
            unused = tf.logical_not(one.is_given(values))[:, None]
            allowed = allowed & (unused | one.passes(values))
        return allowed


def _build(one: AttributeFilter, raw: np.ndarray, feature: Feature, scratch: Path) -> Passing:
    """The table of a filter.

    Raises:
        ConfigError: no item has a value, so that the filter would leave nothing.

    """
    if not ((raw != b"").any() if raw.dtype == object else (~np.isnan(raw)).any()):
        raise ConfigError(f"--filter {one.feature}: the dataset keeps no raw value of any item; drop the filter")
    if one.kind != "any_of":
        assert isinstance(feature, NumericFeature)
        return NumberFilter(raw, feature.default, one.kind)
    assert isinstance(feature, CategoricalFeature)
    tokens, numbers = number_tokens(raw, feature.default)
    lookup = IdLookup(tokens, scratch / f"{one.input_name}.txt")
    # A table of bytes takes len(tokens) an item, one of numbers four times the most values of one.
    if len(tokens) <= 4 * numbers.shape[1]:
        return TokenRows(lookup, numbers)
    return TokenColumns(lookup, numbers)


def number_tokens(raw: np.ndarray, default: str = "") -> tuple[np.ndarray, np.ndarray]:
    """Distinct values in their order, and those of each item by number.

    Args:
        raw: bytes [items] or [items, values]; "" is none.
        default: value of an item that has none; "" for none.

    Returns:
        object (bytes) [tokens], and int32 [items, values] padded with −1.

    """
    table = raw.astype(object).reshape(len(raw), -1)
    if table.shape[1] == 0:
        table = np.full((len(raw), 1), b"", object)
    if default:
        empty = (table == b"").all(axis=1)
        table[empty, 0] = default.encode()
    tokens, flat = np.unique(table.ravel(), return_inverse=True)
    is_none = len(tokens) > 0 and tokens[0] == b""  # the smallest
    numbers = flat.reshape(table.shape).astype(np.int32) - (1 if is_none else 0)
    return tokens[1 if is_none else 0 :], numbers


class TokenRows(tf.Module):
    """A row of the catalogue for each value."""

    def __init__(self, lookup: IdLookup, numbers: np.ndarray) -> None:
        super().__init__(name="token_rows")
        self._lookup = lookup
        has = np.zeros((lookup.size + 1, len(numbers)), bool)  # no item has the unknown value
        items, columns = np.nonzero(numbers >= 0)
        has[numbers[items, columns], items] = True
        self._has = tf.Variable(has, trainable=False, name="has")

    @property
    def input(self) -> Input:
        return missing(TOKENS)

    def is_given(self, values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(tf.not_equal(values, ""), axis=1)

    def passes(self, values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(tf.gather(self._has, self._lookup(values)), axis=1)


class TokenColumns(tf.Module):
    """The numbers of each item's values, for features of many values of which an item has few."""

    def __init__(self, lookup: IdLookup, numbers: np.ndarray) -> None:
        super().__init__(name="token_columns")
        self._lookup = lookup
        self._width = numbers.shape[1]
        self._columns = tf.Variable(numbers.T.copy(), trainable=False, name="columns")

    @property
    def input(self) -> Input:
        return missing(TOKENS)

    def is_given(self, values: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(tf.not_equal(values, ""), axis=1)

    def passes(self, values: tf.Tensor) -> tf.Tensor:
        wanted = tf.cast(self._lookup(values), tf.int32)[:, :, None]
        of_columns = [tf.reduce_any(tf.equal(self._columns[place], wanted), axis=1) for place in range(self._width)]
        return tf.reduce_any(tf.stack(of_columns), axis=0)


class NumberFilter(tf.Module):
    """Numbers up to, or from, a given one on; an item without a number and without a default never passes."""

    def __init__(self, numbers: np.ndarray, default: float | None, kind: Literal["at_most", "at_least"]) -> None:
        super().__init__(name="number_filter")
        self._is_upper = kind == "at_most"
        known = numbers if default is None else np.where(np.isnan(numbers), np.float32(default), numbers)
        self._numbers = tf.Variable(known.astype(np.float32), trainable=False, name="numbers")

    @property
    def input(self) -> Input:
        return missing(NUMBER)

    def is_given(self, values: tf.Tensor) -> tf.Tensor:
        return tf.logical_not(tf.math.is_nan(values))

    def passes(self, values: tf.Tensor) -> tf.Tensor:
        bounds = values[:, None]
        return self._numbers <= bounds if self._is_upper else self._numbers >= bounds
