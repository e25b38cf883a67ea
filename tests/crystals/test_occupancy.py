"""Partial occupancy: sums, majorities and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.occupancy import Occupancy
from materialabs.errors import InputError

Site = list[tuple[int, float]]
sites = st.lists(
    st.lists(st.tuples(st.integers(1, 94), st.floats(0.01, 0.33)), min_size=1, max_size=3),
    min_size=1,
    max_size=6,
)


def table(rows: list[Site]) -> Occupancy:
    return Occupancy(
        np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64),
        np.array([number for row in rows for number, _ in row], dtype=np.uint8),
        np.array([share for row in rows for _, share in row]),
    )


@given(sites)
def test_totals_are_the_sums_of_the_fractions(rows: list[Site]) -> None:
    expected = [sum(share for _, share in row) for row in rows]
    assert table(rows).totals() == pytest.approx(expected)


@given(sites)
def test_the_majority_has_the_largest_fraction(rows: list[Site]) -> None:
    expected = [min(row, key=lambda item: (-item[1], item[0]))[0] for row in rows]
    assert table(rows).majority().tolist() == expected


@given(sites, st.data())
def test_taking_sites_takes_their_occupants(rows: list[Site], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=5))
    taken = table(rows).take(np.array(chosen, dtype=np.int64))
    expected = [pair for i in chosen for pair in rows[i]]
    assert list(zip(taken.occupants, taken.fractions, strict=True)) == expected


@given(sites, sites)
def test_joining_tables_joins_their_sites(first: list[Site], second: list[Site]) -> None:
    joined, whole = Occupancy.concat([table(first), table(second)]), table(first + second)
    assert joined.offsets.tolist() == whole.offsets.tolist()
    assert joined.occupants.tolist() == whole.occupants.tolist()


def test_a_full_table_is_nowhere_partial() -> None:
    full = Occupancy.full(np.array([3, 8], dtype=np.uint8))
    assert len(full) == 2
    assert not full.partial().any()


def test_shared_and_partly_empty_sites_are_partial() -> None:
    mixed = table([[(3, 1.0)], [(3, 0.5), (11, 0.5)], [(8, 0.9)]])
    assert mixed.partial().tolist() == [False, True, True]


def test_no_sites_are_a_table_too() -> None:
    none = Occupancy.full(np.zeros(0, np.uint8))
    assert (len(none), none.totals().tolist(), none.partial().tolist()) == (0, [], [])


@pytest.mark.parametrize(
    ("offsets", "occupants", "fractions", "sentence"),
    [
        ([0, 1, 1], [3], [1.0], "at least one occupant"),
        ([0, 0, 1], [3], [1.0], "at least one occupant"),
        ([1, 2], [3, 4], [0.5, 0.5], "at least one occupant"),
        ([], [], [], "at least one occupant"),
        ([0, 2], [3], [1.0], "one fraction for each"),
        ([0, 1], [3], [0.5, 0.5], "one fraction for each"),
        ([0, 1], [3], [0.0], "above zero"),
        ([0, 1], [3], [np.nan], "above zero"),
        ([0, 1], [3], [-0.5], "above zero"),
        ([0, 1, 3], [3, 3, 4], [1.0, 0.7, 0.6], "site 1 sum to 1.3000"),
    ],
)
def test_impossible_occupancies_are_refused(
    offsets: list[int], occupants: list[int], fractions: list[float], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        Occupancy(np.array(offsets), np.array(occupants, np.uint8), np.array(fractions))


def test_rounded_fractions_of_a_file_are_forgiven() -> None:
    assert table([[(3, 0.334), (4, 0.333), (5, 0.3335)]]).totals()[0] > 1
