"""Descriptors of compositions against matminer's values and hand computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import (
    Descriptors,
    composition_descriptors,
    element_properties,
    padded,
)
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError

COLUMNS = (
    "electronegativity: mean", "electronegativity: average_deviation", "group: mode",
    "atomic_mass: range", "valence_d: mean", "unfilled_d: maximum", "unfilled: mean",
    "covalent_radius: mean", "share of s among valence electrons",
    "share of d among valence electrons", "ionic character: maximum", "ionic character: mean",
    "norm 3 of the fractions", "norm 10 of the fractions", "period: minimum",
)  # fmt: skip

MATMINER = {
    "SrTiO3": (2.562, 1.0536, 16, 71.6206, 0.4, 8, 2.8, 1.106, 0.416667, 0.083333, 0.787757,
               0.169198, 0.614463, 0.600002, 2),
    "Li3PS4": (1.93125, 0.713438, 16, 25.124, 0, 0, 1.75, 1.13875, 0.40625, 0, 0.472708, 0.105332,
               0.564295, 0.502747, 2),
    "La2CuO4": (2.551429, 1.01551, 16, 122.90607, 1.714286, 9, 3.857143, 1.15714286, 0.317073,
                0.292683, 0.745613, 0.16428, 0.597048, 0.571484, 2),
    "AlCo2Ti": (1.7275, 0.1525, 9, 31.951656, 4, 8, 4.75, 1.3325, 0.32, 0.64, 0.028486, 0.005895,
                0.538609, 0.500098, 3),
}  # fmt: skip
"""What matminer 0.10.1 gives with its Magpie data (radii turned to angstrom)."""


@pytest.mark.parametrize("formula", MATMINER)
def test_descriptors_are_those_of_matminer(formula: str) -> None:
    table = composition_descriptors(Compositions.parse([formula]))
    found = [table.column(name)[0] for name in COLUMNS]
    assert found == pytest.approx(MATMINER[formula], rel=2e-4, abs=2e-6)


def test_statistics_of_rock_salt_follow_by_hand() -> None:
    table = composition_descriptors(Compositions.parse(["NaCl"]))
    found = [table.column(f"electronegativity: {name}")[0] for name in (
        "mean", "average_deviation", "minimum", "maximum", "range", "mode")]  # fmt: skip
    assert found == pytest.approx([2.045, 1.115, 0.93, 3.16, 2.23, 0.93])
    ionic = 1 - math.exp(-0.25 * 2.23**2)
    assert table.column("ionic character: mean")[0] == pytest.approx(ionic / 4)


def test_element_alone_has_no_spread() -> None:
    table = composition_descriptors(Compositions.parse(["Si"]))
    chosen = [k for k, name in enumerate(table.names) if name.endswith(("range", "deviation"))]
    assert np.all(table.values[0, chosen] == 0)
    assert table.column("ionic character: maximum")[0] == 0


@given(
    amounts=st.dictionaries(st.integers(1, 96), st.integers(1, 9), min_size=1, max_size=7),
    factor=st.integers(2, 5),
)
def test_formula_unit_does_not_matter(amounts: dict[int, int], factor: int) -> None:
    small = {number: float(amount) for number, amount in amounts.items()}
    large = {number: float(amount * factor) for number, amount in amounts.items()}
    table = composition_descriptors(Compositions.from_dicts([small, large, {1: 1.0}]))
    np.testing.assert_allclose(table.values[0], table.values[1], rtol=1e-9, atol=1e-9)


@given(
    rows=st.lists(
        st.dictionaries(st.integers(1, 118), st.floats(0.01, 20), min_size=1, max_size=9),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_descriptors_are_finite_and_do_not_depend_on_the_company(
    rows: list[dict[int, float]],
) -> None:
    together = composition_descriptors(Compositions.from_dicts(rows)).values
    assert np.isfinite(together).all()
    for row, values in zip(rows, together, strict=True):
        alone = composition_descriptors(Compositions.from_dicts([row])).values[0]
        np.testing.assert_allclose(alone, values, rtol=1e-9, atol=1e-9)


def test_every_element_has_every_property() -> None:
    names, table = element_properties()
    assert len(names) == 22 and table.shape == (len(SYMBOLS), 22)
    assert np.isfinite(table).all()


def test_missing_property_is_the_median_of_the_group() -> None:
    names, table = element_properties()
    francium, column = SYMBOLS.index("Fr"), names.index("molar_volume")
    alkali = table[[3, 11, 19, 37, 55], column]
    assert np.min(alkali) <= table[francium, column] <= np.max(alkali)


def test_no_rows_give_an_empty_table_with_names() -> None:
    table = composition_descriptors(Compositions.from_dicts([]))
    assert table.values.shape == (0, len(table.names))


def test_more_rows_than_a_chunk_are_described_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    formulas = ["NaCl", "Fe2O3", "Li3PS4", "Si", "LiFePO4"]
    whole = composition_descriptors(Compositions.parse(formulas))
    monkeypatch.setattr("materialabs.crystals.descriptors.CHUNK", 2)
    np.testing.assert_allclose(
        composition_descriptors(Compositions.parse(formulas)).values, whole.values, rtol=1e-12
    )


def test_padding_keeps_fractions() -> None:
    numbers, fractions = padded(Compositions.parse(["Fe2O3", "Si"]))
    assert numbers.tolist() == [[8, 26], [14, 0]]
    np.testing.assert_allclose(fractions, [[0.6, 0.4], [1.0, 0.0]])


def test_empty_composition_is_refused() -> None:
    with pytest.raises(InputError, match="without elements"):
        composition_descriptors(Compositions.from_dicts([{}, {1: 1.0}]))


def test_tables_join_side_by_side_and_rows_are_chosen() -> None:
    table = composition_descriptors(Compositions.parse(["NaCl", "Si"]))
    both = Descriptors.joined([table, Descriptors(np.array([[1.0], [2.0]]), ("own",))])
    assert both[1].column("own").tolist() == [2.0]
    assert both.values.shape[1] == table.values.shape[1] + 1


def test_unknown_descriptor_is_refused() -> None:
    table = composition_descriptors(Compositions.parse(["NaCl"]))
    with pytest.raises(InputError, match="colour"):
        table.column("colour")


def test_tables_of_different_rows_do_not_join() -> None:
    table = composition_descriptors(Compositions.parse(["NaCl", "Si"]))
    with pytest.raises(InputError, match="same number of rows"):
        Descriptors.joined([table, table[0]])


def test_names_must_fit_the_values() -> None:
    with pytest.raises(InputError, match="names"):
        Descriptors(np.zeros((2, 3)), ("a", "b"))
