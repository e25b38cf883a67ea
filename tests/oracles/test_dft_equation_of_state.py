from __future__ import annotations

import warnings

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.eos import EquationOfState as AseEquationOfState
from hypothesis import given
from hypothesis import strategies as st

from materialabs.errors import PhysicsError
from materialabs.oracles.dft_equation_of_state import EquationOfState, fit_equation_of_state


def copper() -> tuple[list[float], list[float]]:
    volumes, energies = [], []
    for factor in (0.94, 0.97, 1.0, 1.03, 1.06):
        atoms = bulk("Cu", a=3.6 * factor ** (1 / 3))
        atoms.calc = EMT()
        volumes.append(atoms.get_volume())
        energies.append(atoms.get_potential_energy())
    return volumes, energies


def test_five_points_of_copper_give_what_ase_fits() -> None:
    volumes, energies = copper()
    ours = fit_equation_of_state(volumes, energies)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        volume, energy, modulus = AseEquationOfState(volumes, energies, "birchmurnaghan").fit()
    assert ours.volume == pytest.approx(volume, rel=1e-5)
    assert ours.energy == pytest.approx(energy, abs=1e-5)
    assert ours.bulk_modulus == pytest.approx(modulus, rel=1e-3)


@given(st.floats(8, 60), st.floats(0.05, 2.5), st.floats(2.5, 6.0), st.floats(0.97, 1.03))
def test_a_known_curve_is_found_again(v0: float, b0: float, stiff: float, middle: float) -> None:
    known = EquationOfState(v0, -3.0, b0, stiff, 0.0)
    volumes = [v0 * middle * factor for factor in (0.94, 0.97, 1.0, 1.03, 1.06)]
    found = fit_equation_of_state(volumes, [known.energy_at(v) for v in volumes])
    assert found.volume == pytest.approx(v0, rel=1e-6)
    assert found.bulk_modulus == pytest.approx(b0, rel=1e-4)
    assert found.stiffening == pytest.approx(stiff, rel=1e-2)
    assert found.misfit < 1e-8


def test_three_points_take_the_equation_of_second_order() -> None:
    known = EquationOfState(20.0, -1.0, 0.5, 4.0, 0.0)
    volumes = [19.6, 20.2, 20.8]
    found = fit_equation_of_state(volumes, [known.energy_at(v) for v in volumes])
    assert found.volume == pytest.approx(20.0, rel=1e-8)
    assert found.bulk_modulus == pytest.approx(0.5, rel=1e-7)


@given(st.floats(15, 25))
def test_pressure_is_minus_the_slope_of_the_energy(volume: float) -> None:
    curve = EquationOfState(20.0, -1.0, 0.5, 4.6, 0.0)
    slope = (curve.energy_at(volume + 1e-3) - curve.energy_at(volume - 1e-3)) / 2e-3
    assert curve.pressure_at(volume) == pytest.approx(-slope, abs=1e-7)


@given(st.floats(-0.03, 0.6))
def test_the_volume_at_a_pressure_has_that_pressure(pressure: float) -> None:
    curve = EquationOfState(20.0, -1.0, 0.5, 4.6, 0.0)
    assert curve.pressure_at(curve.volume_at(pressure)) == pytest.approx(pressure, abs=1e-9)


def test_the_bulk_modulus_is_given_in_gpa() -> None:
    assert EquationOfState(1, 0, 1.0, 4, 0).bulk_modulus_gpa == pytest.approx(160.2177, abs=1e-3)


def test_two_volumes_are_too_few() -> None:
    with pytest.raises(PhysicsError, match="three volumes"):
        fit_equation_of_state([1.0, 2.0, 2.0], [0.0, 1.0, 1.0])


def test_energies_without_a_minimum_are_refused() -> None:
    with pytest.raises(PhysicsError, match="no minimum"):
        fit_equation_of_state([18, 19, 20, 21, 22], list(np.array([5.0, 4.0, 3.0, 2.0, 1.0])))
