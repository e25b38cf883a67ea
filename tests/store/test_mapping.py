"""Headers, units and cells of tables mean what a reader takes them for, or are refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given as any_of
from hypothesis import strategies as st

from materialabs.errors import InputError
from materialabs.store.cells import is_missing, number_in, truth_in
from materialabs.store.dimensions import converted, read_unit
from materialabs.store.headers import condition_name, split_header
from materialabs.store.mapping import NO_UNIT, ColumnMeaning, given, guess, meanings_of
from materialabs.store.units import base_unit, to_base


def meanings(rows: list[dict[str, Any]], **options: Any) -> dict[str, ColumnMeaning]:
    found = meanings_of(list(rows[0]), rows, **options)
    return {one.header: one for one in found}


# -- units ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (("W/mK", "W m-1 K-1", "W/(m K)", "W/m/K", "W·m⁻¹·K⁻¹", "W m$^{-1}$ K$^{-1}$"), "W/(m K)"),
        (("W/mK2", "W/(m K^2)", "W m-1 K-2"), "W/(m K^2)"),
        (("S/cm", "S cm-1", "S cm^-1", "S·cm⁻¹"), "S/cm"),
        (("uV/K", "μV/K", "µV K-1", "$\\mu$V/K"), "uV/K"),
        (("degC", "°C", "$^\\circ$C", "℃", "oC"), "degC"),
        (("g/cm3", "g/cm^3", "g/cm$^3$", "g cm-3"), "g/cm^3"),
        (("A^3", "Å^3", "angstrom^3", "Å³"), "angstrom^3"),
        (("eV/A", "eV/Å", "eV/angstrom"), "eV/angstrom"),
        (("muB", "μB", "Bohr magneton", "uB"), "Bohr magneton"),
        (("eV/f.u.", "eV/formula unit"), "eV/f.u."),
        (("1/cm", "cm-1", "cm^-1"), "1/cm"),
        (("10^-6/K", "10^-6 K^-1"), "10^-6/K"),
        (("GPa", "gpa", "GPA"), "GPa"),
        (("eV per atom", "eV/atom", "eV/at"), "eV/atom"),
        (("", "1", "-", "dimensionless"), ""),
    ],
)
def test_one_unit_has_one_spelling(texts: tuple[str, ...], name: str) -> None:
    for text in texts:
        found = read_unit(text)
        assert found is not None, text
        assert found.name == name, text


@pytest.mark.parametrize(
    "text", ["Total", "Bulk", "mV/dec", "A", "degC/m", "x" * 100, "5 GPa", "?!"]
)
def test_what_is_not_a_unit_is_not_read_as_one(text: str) -> None:
    assert read_unit(text) is None


@pytest.mark.parametrize(
    ("value", "unit", "to", "expected"),
    [
        (25.0, "degC", "K", 298.15),
        (0.0, "K", "degC", -273.15),
        (100.0, "S/m", "S/cm", 1.0),
        (1.0, "eV/angstrom^3", "GPa", 160.21766339999996),
        (96.48533212331, "kJ/mol-atom", "eV/atom", 1.0),
        (3.0, "mAh/g", "Ah/kg", 3.0),
        (250.0, "meV", "eV", 0.25),
        (1.0, "mW/(m K^2)", "W/(m K^2)", 1e-3),
    ],
)
def test_units_of_one_quantity_convert(value: float, unit: str, to: str, expected: float) -> None:
    assert converted(value, unit, to) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("unit", "to"), [("eV", "GPa"), ("eV/atom", "eV/f.u."), ("%", "wt.%"),
                                          ("kJ/mol", "eV/atom"), ("nonsense", "eV")])  # fmt: skip
def test_units_of_other_quantities_are_refused(unit: str, to: str) -> None:
    with pytest.raises(InputError, match="does not convert"):
        converted(1.0, unit, to)


def test_values_are_kept_in_the_unit_that_came_first() -> None:
    assert base_unit("ionic_conductivity", "S/cm") == "S/cm"
    assert base_unit("band_gap", "meV") == "eV"
    assert to_base("band_gap", 500.0, "meV", "eV") == 0.5
    assert to_base("ionic_conductivity", 1.0, "S/m", "S/cm") == pytest.approx(0.01)
    with pytest.raises(InputError, match="kept in GPa; HV does not convert"):
        to_base("bulk_modulus", 1.0, "HV", "GPa")


# -- headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "plain", "unit"),
    [
        ("gap (eV)", "gap", "eV"),
        ("E_form [eV/atom]", "e_form", "eV/atom"),
        ("PROPERTY: YS (MPa)", "ys", "MPa"),
        ("k (W/(m K))", "k", "W/(m K)"),
        ("Tc, K", "tc", "K"),
        ("density in g/cm3", "density", "g/cm^3"),
        ("gap_ev", "gap", "eV"),
        ("data.band_gap", "band_gap", None),
        ("IC (Total)", "ic_total", None),
        ("c/a ratio", "c_a_ratio", None),
        ("bandGap", "band_gap", None),
        ("ZT (-)", "zt", ""),
        ("broken) header)", "broken_header", None),
    ],
)
def test_a_header_is_a_name_and_perhaps_a_unit(header: str, plain: str, unit: str | None) -> None:
    assert split_header(header) == (plain, unit)


@pytest.mark.parametrize(("plain", "name"), [
    ("temperature", "temperature"), ("test_temperature", "temperature"), ("temp", "temperature"),
    ("applied_pressure", "pressure"), ("magnetic_field", "field"),
    ("critical_temperature", ""), ("melting_temperature", ""), ("vapour_pressure", ""),
])  # fmt: skip
def test_only_conditions_are_taken_for_conditions(plain: str, name: str) -> None:
    assert condition_name(plain) == name


# -- cells ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cell", "expected"), [
    ("1.5", (1.5, None)), ("1.2 ± 0.1", (1.2, 0.1)), ("1.2+/-0.1", (1.2, 0.1)),
    ("1.23(4)", (1.23, 0.04)), ("12(3)e2", (1200.0, 300.0)), (" -3e-4 ", (-3e-4, None)),
    ("−2.5", (-2.5, None)), (7, (7.0, None)), (True, (1.0, None)),
])  # fmt: skip
def test_numbers_are_read_with_their_uncertainty(cell: Any, expected: Any) -> None:
    number, uncertainty = number_in(cell, "x")
    assert (number, uncertainty) == pytest.approx(expected)


@pytest.mark.parametrize("cell", ["<1E-10", "about 3", "1_000", "1,5", "inf", "1e999", [1.0]])
def test_what_is_not_a_number_is_refused_with_its_header(cell: Any) -> None:
    with pytest.raises(InputError, match="Tc"):
        number_in(cell, "Tc")


@any_of(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_is_read_as_it_was_written(number: float) -> None:
    assert number_in(repr(number), "x") == (number, None)


@pytest.mark.parametrize("cell", [None, "", " ", "-", "n/a", "NaN", math.nan, "—"])
def test_gaps_are_gaps(cell: Any) -> None:
    assert is_missing(cell)
    assert not is_missing(0)


def test_truth_values_are_told_from_words() -> None:
    assert [truth_in(cell) for cell in (True, "False", "yes", 1)] == [True, False, None, None]


# -- guesses --------------------------------------------------------------------------------------

ROW = {"formula": "Fe2O3", "gap (eV)": 2.1, "temperature (°C)": 25, "doi": "10.1021/x", "id": "a-1",
       "hardness": 7, "note": "as grown", "stable": True, "gap_std (eV)": 0.1}  # fmt: skip


def test_columns_are_told_by_their_headers() -> None:
    found = meanings([ROW])
    assert {header: one.role for header, one in found.items()} == {
        "formula": "formula", "gap (eV)": "value", "temperature (°C)": "condition", "doi": "doi",
        "id": "id", "hardness": "ignored", "note": "ignored", "stable": "value",
        "gap_std (eV)": "uncertainty",
    }  # fmt: skip
    assert found["gap (eV)"].name == "band_gap"
    assert found["hardness"].reason == NO_UNIT


def test_a_mapping_shows_itself_in_words() -> None:
    shown = [str(one) for one in meanings([ROW]).values()]
    assert shown == [
        "formula -> formula", "gap (eV) -> band_gap in eV",
        "temperature (°C) -> condition temperature in degC", "doi -> doi", "id -> id",
        "hardness -> ignored: no unit is stated", "note -> ignored", "stable -> stable in no unit",
        "gap_std (eV) -> uncertainty band_gap in eV",
    ]  # fmt: skip


def test_a_unit_is_never_guessed_from_a_bare_temperature_of_another_kind() -> None:
    found = meanings([{"formula": "Fe", "test temperature": 25, "gap": 0.0}])
    assert found["test temperature"].role == "ignored"


def test_the_unit_of_a_condition_must_be_one() -> None:
    found = meanings([{"formula": "Fe", "temperature (eV)": 25, "gap": 0.0}])
    assert "not a unit of temperature" in found["temperature (eV)"].reason


def test_a_formula_column_is_found_by_its_contents() -> None:
    rows = [{"ABO3": "Ba0.5Sr0.5CoO3", "phase": "BCC", "r (eV)": 1}, {"ABO3": "LaMnO3",
            "phase": "FCC", "r (eV)": 2}]  # fmt: skip
    assert meanings(rows)["ABO3"].role == "formula"


def test_several_formula_columns_are_for_the_user_to_choose_from() -> None:
    row = {"formula_charge": "FePO4", "formula_discharge": "LiFePO4", "V (V)": 3.4}
    with pytest.raises(InputError, match="Several columns hold formulas"):
        guess(list(row), [row])
    assert meanings([row], formula="formula_charge")["formula_charge"].role == "formula"


def test_columns_of_elements_make_a_composition() -> None:
    row = {"Al": 0.2, "Co": 0.4, "Cr (at.%)": 0.4, "hardness (HV)": 500}
    roles = [one.role for one in meanings([row]).values()]
    assert roles == ["amount", "amount", "amount", "value"]


def test_weight_per_cents_are_no_composition() -> None:
    row = {"Fe (wt.%)": 98.0, "C (wt.%)": 2.0, "hardness (HV)": 500}
    with pytest.raises(InputError, match="No column of formulas"):
        guess(list(row), [row])


def test_a_table_without_formulas_is_refused_naming_its_columns() -> None:
    row = {f"x{i}": i for i in range(20)}
    with pytest.raises(InputError, match="and 8 more: name it with --formula"):
        guess(list(row), [row])


def test_of_two_columns_for_one_property_the_first_counts() -> None:
    found = meanings([{"formula": "Fe", "gap (eV)": 1.0, "band_gap": 1.1}])
    assert found["band_gap"].reason == "gap (eV) is band_gap already"


# -- what the user states -------------------------------------------------------------------------


def test_a_stated_column_goes_before_the_guess_and_conditions_stay() -> None:
    found = meanings([ROW], columns=["hardness=hardness:HV"])
    assert found["hardness"] == ColumnMeaning("hardness", "value", "hardness", "HV")
    assert found["gap (eV)"].role == "ignored"
    assert found["temperature (°C)"].role == "condition"


def test_text_uncertainty_ignore_and_constant_conditions_can_be_stated() -> None:
    found = meanings(
        [ROW],
        columns=["note=remark:text", "gap (eV)=band_gap:eV@temperature=300 K@pressure=1 GPa",
                 "hardness=band_gap.uncertainty:meV", "temperature (°C)=ignore"],
    )  # fmt: skip
    assert found["note"].role == "text"
    assert found["hardness"].role == "uncertainty"
    assert found["temperature (°C)"].role == "ignored"
    assert (
        str(found["gap (eV)"])
        == "gap (eV) -> band_gap in eV at temperature 300 K at pressure 1 GPa"
    )


def test_a_header_may_hold_an_equals_sign() -> None:
    rows = [{"formula": "Fe", "x=1": 2.0}]
    found = given(["formula", "x=1"], "formula", ["x=1=band_gap:eV"], rows)
    assert found[1].name == "band_gap"


@pytest.mark.parametrize("text", ["hardness", "hardness=HV", "hardness=Hardness:HV", "nothing=a:eV",
                                  "hardness=h:HV@temperature"])  # fmt: skip
def test_a_malformed_statement_says_how_it_must_read(text: str) -> None:
    with pytest.raises(InputError, match=r"must read|has no column"):
        meanings([ROW], columns=[text])


def test_an_unknown_formula_column_is_refused() -> None:
    with pytest.raises(InputError, match="has no column 'nothing'"):
        meanings([ROW], formula="nothing")
    with pytest.raises(InputError, match="No column of formulas"):
        given(["a"], "", ["a=b:eV"], [{"a": 1}])


def test_a_condition_may_be_stated_in_its_own_unit() -> None:
    found = meanings([ROW], columns=["hardness=temperature:degC"])
    assert found["hardness"] == ColumnMeaning("hardness", "condition", "temperature", "degC")
