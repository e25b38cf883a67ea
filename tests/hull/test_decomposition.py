from __future__ import annotations

import pytest
from hull_systems import formation

from materialabs.hull.hull import Hull


def sulfides() -> Hull:
    return Hull(["Li2S", "P2S5"], formation([-1.5, -0.8]))


def test_amounts_are_atoms_for_one_atom() -> None:
    (products,) = list(sulfides().decompose("Li3PS4"))
    assert products == pytest.approx({0: 4.5 / 8, 1: 3.5 / 8})


def test_rows_can_be_counted_from_the_end() -> None:
    parts = sulfides().decompose(["Li2S", "P2S5"])
    assert parts[-1] == {1: 1.0}
    with pytest.raises(IndexError, match="composition 2 of 2"):
        parts[2]


def test_diatomic_elements_are_counted_as_molecules() -> None:
    parts = Hull(["Li2O"], formation([-2.0])).decompose("Li2O2")
    assert parts.reactions() == ["Li2O2 → Li2O + 0.5 O2"]


def test_long_lists_are_cut_where_they_are_shown() -> None:
    parts = sulfides().decompose(["Li3PS4"] * 12)
    assert repr(parts).endswith("and 2 more)")
    assert parts._repr_html_().count("<li>") == 10
