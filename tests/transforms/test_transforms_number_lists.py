"""Cells of several numbers → vectors and weights, by plain Python over the cells."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.schema import CategoricalFeature, VectorFeature, WeightsFeature
from transforms.read import cells
from transforms.read.native import plain
from transforms.read.number_lists import vectors, weights
from transforms.read.reasons import Reasons

LISTED = VectorFeature(role="item", length=3, list=True)
DIVIDED = VectorFeature(role="item", length=3, separator=";")


def read_vectors(column, feature):
    rows, reasons = pa.table({"v": column}), Reasons(len(column))
    found = vectors(rows, "v", feature, reasons)
    assert found.type == pa.list_(pa.float32())
    return found.to_pylist(), dict(reasons.found())


def read_weights(values, weight_cells, *, is_list):
    form = {"list": True} if is_list else {"separator": "|"}
    tags = CategoricalFeature(role="item", **form)
    feature = WeightsFeature(role="item", of="tags", **form)
    rows, reasons = pa.table({"t": values, "w": weight_cells}), Reasons(len(values))
    found = weights(rows, "w", feature, "t", tags, reasons).to_pylist()
    kept = cells.lists(rows, "t") if is_list else cells.split(cells.strings(rows, "t"), "|")
    assert [len(row) for row in found] == [len(row) for row in kept.to_pylist()]
    return [[None if math.isnan(weight) else weight for weight in row] for row in found], dict(reasons.found())


def test_cells_with_a_separator_are_vectors_with_or_without_brackets():
    found, reasons = read_vectors(["1;-2.5;0", "", "[1; 2e1 ;3]", "(0;0;0)", " "], DIVIDED)
    assert found == [[1, -2.5, 0], [], [1, 20, 3], [0, 0, 0], []]
    assert reasons == {}


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float64()), pa.list_(pa.float32()), pa.list_(pa.int64()), pa.list_(pa.string())]
)
def test_native_lists_are_vectors_whatever_their_numbers(kind):
    column = pa.array([[1, 2, 3], None, [], [4, 5, 6]], pa.list_(pa.int64()))
    assert read_vectors(column.cast(kind), LISTED) == ([[1, 2, 3], [], [], [4, 5, 6]], {})


def test_vectors_as_numpy_prints_them_are_read():
    values = np.array([1.0, -0.5, 2e-7], np.float32)
    found, reasons = read_vectors(
        [str(values), "[ 1.  -2.   3. ]"], VectorFeature(role="item", length=3, separator=" ")
    )
    assert reasons == {}
    np.testing.assert_allclose(found, [values, [1, -2, 3]], rtol=1e-6)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32(), 3), pa.large_list(pa.float64()), pa.list_(pa.float16(), 3)])
def test_vectors_of_parquet_files_may_be_of_a_fixed_size(kind):
    column, bad = plain(pa.array([[0.5, -1.25, 3], None, [4, 5, 6]], kind), "v", is_list=True)
    assert bad == {}
    assert read_vectors(column, LISTED) == ([[0.5, -1.25, 3], [], [4, 5, 6]], {})


def test_float32_numbers_stay_as_they_are():
    numbers = np.array([0.1, 1e-40, np.finfo(np.float32).max], np.float32)
    found, reasons = read_vectors(pa.array([numbers]), LISTED)
    assert reasons == {}
    assert np.array_equal(np.float32(found[0]), numbers)
    _, reasons = read_vectors(pa.array([np.array([0.1, np.nan, 2], np.float32)]), LISTED)
    assert reasons == {0: "v is not a finite number: 'nan'"}


def test_a_cell_that_is_no_vector_rejects_its_row_with_the_reason():
    column = ["1;2", "1;2;3;4", "1;x;3", "1;;3", "1;nan;3", "1;2;inf", "1;2;3"]
    found, reasons = read_vectors(column, DIVIDED)
    assert reasons == {
        0: "v is not a vector of 3 numbers: it has 2",
        1: "v is not a vector of 3 numbers: it has 4",
        2: "v is not a number: 'x'",
        3: "v lacks one of the numbers of its vector",
        4: "v is not a finite number: 'nan'",
        5: "v is not a finite number: 'inf'",
    }
    assert found[6] == [1, 2, 3]
    _, reasons = read_vectors(pa.array([[1.0, None, 2.0]]), LISTED)
    assert reasons == {0: "v lacks one of the numbers of its vector"}
    _, reasons = read_vectors([5.0], LISTED)  # a JSON row may hold a number where others hold lists
    assert reasons == {0: "v is not a vector of 3 numbers: it has 1"}


def test_weights_stand_beside_the_values_that_are_kept():
    found, reasons = read_weights(
        ["a|b|c", "a||c", "a|b", "", "|a"], ["1|2|0.5", "1|2|3", "7", "", "|4"], is_list=False
    )
    assert found == [[1, 2, 0.5], [1, 3], [7, None], [], [4]]
    assert reasons == {}


@pytest.mark.parametrize("separator", [" ", "\t"])
def test_the_first_weight_may_be_missing_where_blanks_divide(separator):
    tags = CategoricalFeature(role="item", separator=separator)
    feature = WeightsFeature(role="item", of="tags", separator=separator)
    rows, reasons = pa.table({"t": [f"a{separator}b"], "w": [f"{separator}2"]}), Reasons(1)
    [found] = weights(rows, "w", feature, "t", tags, reasons).to_pylist()
    assert (math.isnan(found[0]), found[1]) == (True, 2)
    assert not reasons.any()


def test_weights_that_fit_no_value_reject_their_row():
    found, reasons = read_weights(["a|b", "a|b", "", "a"], ["1|2|3", "1|-2", "1", "x"], is_list=False)
    assert reasons == {
        0: "w has more weights than t has values: 3 for 2",
        1: "w holds a negative weight",
        2: "w has more weights than t has values: 1 for 0",
        3: "w is not a number: 'x'",
    }
    assert [len(row) for row in found] == [2, 2, 0, 1]


CELL = st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.sampled_from(["", "0", "0.5", "2"])), max_size=4)


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(CELL, max_size=5), is_list=st.booleans(), data=st.data())
def test_any_cells_give_what_a_loop_gives(rows, is_list, data):
    # A cell of one empty value is an empty cell, which has no values and so no weights.
    most = [0 if not is_list and not "|".join(token for token, _ in row) else len(row) for row in rows]
    given_weights = [row[: data.draw(st.integers(0, count))] for row, count in zip(rows, most, strict=True)]
    expected = []
    for row, some in zip(rows, given_weights, strict=True):
        of_places = [weight for _, weight in some] + [""] * (len(row) - len(some))
        kept = [weight for (token, _), weight in zip(row, of_places, strict=True) if token]
        expected.append([float(weight) if weight else None for weight in kept])
    tokens = [[token for token, _ in row] for row in rows]
    numbers = [[weight for _, weight in some] for some in given_weights]
    if is_list:
        kind = pa.list_(pa.string())
        found, reasons = read_weights(pa.array(tokens, kind), pa.array(numbers, kind), is_list=True)
    else:
        texts = [pa.array(["|".join(row) for row in column], pa.string()) for column in (tokens, numbers)]
        found, reasons = read_weights(*texts, is_list=False)
    assert found == expected
    assert reasons == {}
