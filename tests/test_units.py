"""Units against ASE's and scipy's constants."""

from __future__ import annotations

import ase.units
import numpy as np
import pytest
import scipy.constants as codata
from hypothesis import given
from hypothesis import strategies as st

from materialabs.errors import InputError
from materialabs.units import (
    _FACTORS,
    AVOGADRO,
    BOLTZMANN,
    ELEMENTARY_CHARGE,
    GPA_PER_EV_PER_CUBIC_ANGSTROM,
    GRAM_PER_CUBIC_CENTIMETRE_PER_AMU_PER_CUBIC_ANGSTROM,
    KJ_PER_MOL_PER_EV,
    convert,
    pressure_from_stress,
)

UNITS = [(unit, units) for units in _FACTORS.values() for unit in units]


def test_constants_are_those_of_codata() -> None:
    assert codata.e == ELEMENTARY_CHARGE
    assert codata.N_A == AVOGADRO
    assert pytest.approx(codata.k / codata.e, rel=1e-12) == BOLTZMANN


@pytest.mark.parametrize(
    ("unit", "to", "expected"),
    [
        ("eV", "kJ/mol", 96.48533212),
        ("kcal/mol", "eV", ase.units.kcal / ase.units.mol),
        ("Ha", "eV", ase.units.Hartree),
        ("Ry", "eV", ase.units.Rydberg),
        ("J", "eV", ase.units.J),
        ("bohr", "angstrom", ase.units.Bohr),
        ("nm", "angstrom", 10.0),
        ("pm", "angstrom", 0.01),
        ("eV/angstrom^3", "GPa", 1 / ase.units.GPa),
        ("kbar", "GPa", 0.1),
        ("atm", "Pa", codata.atm),
        ("ps", "fs", 1000.0),
        ("meV/atom", "eV/atom", 0.001),
        ("kJ/mol-atom", "eV/atom", ase.units.kJ / ase.units.mol),
    ],
)
def test_factors_agree_with_ase_and_codata(unit: str, to: str, expected: float) -> None:
    assert convert(1.0, unit, to) == pytest.approx(expected, rel=1e-6)


def test_named_factors_agree_with_ase() -> None:
    assert pytest.approx(1 / ase.units.GPa, rel=1e-6) == GPA_PER_EV_PER_CUBIC_ANGSTROM
    assert pytest.approx(ase.units.mol / ase.units.kJ, rel=1e-6) == KJ_PER_MOL_PER_EV
    density = codata.atomic_mass * 1e3 / 1e-24
    assert pytest.approx(density, rel=1e-6) == (
        GRAM_PER_CUBIC_CENTIMETRE_PER_AMU_PER_CUBIC_ANGSTROM
    )


@given(st.sampled_from(UNITS), st.data(), st.floats(-1e6, 1e6))
def test_converting_there_and_back_changes_nothing(
    pair: tuple[str, dict[str, float]], data: st.DataObject, value: float
) -> None:
    unit, family = pair
    other = data.draw(st.sampled_from(sorted(family)))
    assert convert(convert(value, unit, other), other, unit) == pytest.approx(value, rel=1e-12)


def test_arrays_keep_their_shape() -> None:
    assert convert(np.ones((2, 3)), "nm", "angstrom").tolist() == [[10.0] * 3] * 2


def test_an_unknown_unit_names_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"Unknown unit 'furlong'.*angstrom"):
        convert(1.0, "angstrom", "furlong")


def test_units_of_different_quantities_are_refused() -> None:
    with pytest.raises(InputError, match="eV measures energy and GPa measures pressure"):
        convert(1.0, "eV", "GPa")


def test_pressure_is_minus_a_third_of_the_trace() -> None:
    stress = np.array([np.diag([-0.01, -0.02, -0.03]), np.eye(3) * 0.01])
    expected = np.array([0.02, -0.01]) / ase.units.GPa
    assert pressure_from_stress(stress) == pytest.approx(expected, rel=1e-6)
