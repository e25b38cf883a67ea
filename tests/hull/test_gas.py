from __future__ import annotations

import math

import pytest

from materialabs.errors import InputError, PhysicsError
from materialabs.hull.gas import GASES, gas_correction, oxygen_potential
from materialabs.hull.gas import _enthalpy_and_entropy as tables

JANAF = {"O": 205.147, "N": 191.609, "H": 130.680, "F": 202.789, "Cl": 223.079}
"""Entropy at 298.15 K and 1 bar, J/(mol K) (NIST-JANAF, 4th edition)."""


@pytest.mark.parametrize("element", GASES)
def test_entropy_at_room_temperature_is_that_of_janaf(element: str) -> None:
    assert tables(element, 298.15)[1] == pytest.approx(JANAF[element], abs=0.02)


@pytest.mark.parametrize("element", GASES)
def test_enthalpy_at_room_temperature_is_zero(element: str) -> None:
    assert tables(element, 298.15)[0] == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(
    ("temperature", "enthalpy", "entropy"), [(500.0, 6.084, 220.693), (1000.0, 22.703, 243.578)]
)
def test_oxygen_agrees_with_the_janaf_table(
    temperature: float, enthalpy: float, entropy: float
) -> None:
    assert tables("O", temperature) == pytest.approx((enthalpy, entropy), abs=0.03)


@pytest.mark.parametrize("element", GASES)
def test_the_correction_agrees_with_pymatgens_near_room_temperature(element: str) -> None:
    from pymatgen.analysis.interface_reactions import InterfacialReactivity

    expected = InterfacialReactivity.get_chempot_correction(element, 320.0, 5e4)
    assert gas_correction(element, 320.0, 5e4) == pytest.approx(expected, abs=1e-4)


def test_nothing_changes_at_the_standard_state() -> None:
    assert gas_correction("O", 298.15, 1e5) == pytest.approx(0.0, abs=1e-12)


def test_ten_times_the_pressure_adds_half_k_t_log_ten() -> None:
    change = gas_correction("N", 400.0, 1e6) - gas_correction("N", 400.0, 1e5)
    assert change == pytest.approx(0.5 * 8.617333e-5 * 400.0 * math.log(10.0), rel=1e-6)


def test_oxygen_in_air_is_a_little_below_its_reference() -> None:
    assert oxygen_potential() == pytest.approx(-4.972, abs=1e-3)


def test_a_gas_without_data_is_refused() -> None:
    with pytest.raises(InputError, match="gas data for O, N"):
        gas_correction("He", 300.0, 1e5)


@pytest.mark.parametrize("temperature", [50.0, 5000.0])
def test_a_temperature_outside_the_tables_is_refused(temperature: float) -> None:
    with pytest.raises(PhysicsError, match="100 to 2000 K"):
        gas_correction("O", temperature, 1e5)


def test_a_pressure_of_zero_is_refused() -> None:
    with pytest.raises(PhysicsError, match="above zero"):
        gas_correction("O", 300.0, 0.0)
