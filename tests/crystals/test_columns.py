"""Columns keep what is missing missing, whatever is done to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.columns import (
    CRYSTAL_COLUMNS,
    SITE_COLUMNS,
    Columns,
    as_column,
    is_missing,
    missing_like,
)
from materialabs.errors import InputError

KINDS: dict[str, st.SearchStrategy[Any]] = {
    "float": st.floats(allow_nan=False),
    "int": st.integers(-(2**60), 2**60),
    "bool": st.booleans(),
    "text": st.text(max_size=5),
}
columns = st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: st.lists(st.none() | KINDS[kind], min_size=1, max_size=8)
)


def listed(column: np.ndarray[Any, Any]) -> list[Any]:
    gone = is_missing(column)
    return [None if none else value for none, value in zip(gone, column.tolist(), strict=True)]


@given(columns)
def test_values_and_gaps_survive(values: list[Any]) -> None:
    assert listed(as_column(values, len(values), "x")) == values


@given(columns, st.data())
def test_taking_rows_takes_values_and_gaps(values: list[Any], data: st.DataObject) -> None:
    table = Columns(len(values), {"x": values})
    rows = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=6))
    found = table.take(np.array(rows, dtype=np.int64))
    assert found.length == len(rows)
    assert listed(found["x"]) == [values[i] for i in rows]


@given(columns)
def test_joining_with_a_table_without_the_column_leaves_a_gap(values: list[Any]) -> None:
    joined = Columns.concat([Columns(2), Columns(len(values), {"x": values}), Columns(1)])
    assert listed(joined["x"]) == [None, None, *values, None]


@pytest.mark.parametrize(
    ("values", "kind"),
    [([1.0, 2], "f"), ([1, 2], "i"), ([True, False], "b"), (["a", "b"], "O"), ([None], "O"),
     ([{"a": 1}], "O"), ([[1, 2], [3, 4]], "f"), ([[1, 2], [3]], "O"), ([True, 1], "O"),
     ([1.5, True], "O"), ([[], []], "O"), ([["a"], ["b"]], "O"), ([[[1], [2, 3]]], "O")],
)  # fmt: skip
def test_the_dtype_follows_from_what_is_present(values: list[Any], kind: str) -> None:
    assert as_column(values, len(values), "x").dtype.kind == kind


@pytest.mark.parametrize(
    ("dtype", "kept"), [(np.float32, "f8"), (np.uint8, "i8"), ("U3", "O"), (bool, "b1")]
)
def test_arrays_are_brought_to_one_of_the_kept_dtypes(dtype: Any, kept: str) -> None:
    column = as_column(np.array([1, 0]).astype(dtype), 2, "x")
    assert column.dtype == np.dtype(kept)


def test_a_missing_vector_is_a_row_without_numbers() -> None:
    column = as_column([[1, 2, 3], None], 2, "x")
    assert np.isnan(column[1]).all()
    assert is_missing(column).tolist() == [False, True]


def test_a_column_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(InputError, match="'x' has 1 rows where 2 are needed"):
        Columns(2, {"x": [1]})


def test_a_dtype_that_is_not_kept_is_refused() -> None:
    with pytest.raises(InputError, match="complex128"):
        as_column(np.zeros(2, complex), 2, "x")


def test_columns_cannot_be_written_to() -> None:
    table = Columns(1, {"x": [1.0]})
    with pytest.raises(ValueError, match="read-only"):
        table["x"][0] = 2.0


@pytest.mark.parametrize("values", [[1.0], [1], [True], ["a"], [[1.0, 2.0]]])
def test_a_missing_column_is_missing_everywhere(values: list[Any]) -> None:
    column = as_column(values, 1, "x")
    blank = missing_like(column, 3)
    assert blank.shape == (3, *column.shape[1:])
    assert is_missing(blank).all()


def test_whole_numbers_and_floats_join_as_floats() -> None:
    some = Columns(2, {"x": [1, None]})
    joined = Columns.concat([some, Columns(1, {"x": [0.5]})])
    assert listed(joined["x"]) == [1.0, None, 0.5]


def test_unlike_columns_join_as_objects() -> None:
    joined = Columns.concat([Columns(1, {"x": ["a"]}), Columns(2, {"x": [1, None]})])
    assert listed(joined["x"]) == ["a", 1, None]


def test_vectors_of_different_width_join_as_objects() -> None:
    joined = Columns.concat([Columns(1, {"x": [[1.0, 2.0]]}), Columns(1, {"x": [[1.0]]})])
    assert listed(joined["x"]) == [[1.0, 2.0], [1.0]]


def test_a_row_holds_what_is_not_missing() -> None:
    table = Columns(2, {"a": [1, None], "b": ["x", "y"], "c": [np.nan, 2.0]})
    assert table.row(0) == {"a": 1, "b": "x"}
    assert table.row(1) == {"b": "y", "c": 2.0}


def test_columns_are_replaced_in_a_new_table() -> None:
    table = Columns(1, {"a": [1]})
    changed = table.with_columns(a=[2], b=["x"])
    assert (table["a"].tolist(), changed["a"].tolist()) == ([1], [2])
    assert list(changed) == ["a", "b"]


def test_a_table_counts_names_and_keeps_its_length_without_any() -> None:
    table = Columns(5)
    assert (len(table), table.length, table.take(np.array([0, 1])).length) == (0, 5, 2)


def test_a_table_shows_its_names() -> None:
    assert repr(Columns(2, {"a": [1, 2]})) == "Columns(2 rows: a)"
    assert repr(Columns(2)) == "Columns(2 rows: none)"


@pytest.mark.parametrize("registry", [CRYSTAL_COLUMNS, SITE_COLUMNS])
def test_every_registered_column_has_a_meaning(registry: dict[str, Any]) -> None:
    assert all(kind.meaning and kind.dtype for kind in registry.values())
