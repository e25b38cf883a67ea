"""Chemical potentials of elements in a gas at a temperature and a pressure.

An ideal gas, with enthalpy and entropy from the Shomate equations of the NIST Chemistry WebBook
(Chase, NIST-JANAF Thermochemical Tables, 4th ed., J. Phys. Chem. Ref. Data Monograph 9, 1998).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from materialabs.errors import InputError, PhysicsError
from materialabs.units import BOLTZMANN, KJ_PER_MOL_PER_EV

STANDARD_TEMPERATURE = 298.15
"""K, where the tables begin."""

STANDARD_PRESSURE = 1e5
"""Pa (1 bar)."""

AIR_TEMPERATURE = 300.0
"""K."""

AIR_OXYGEN_PRESSURE = 21_200.0
"""Pa, partial pressure of oxygen in air (Merchant et al., Nature 624, 2023, notebook)."""

OXYGEN_REFERENCE = -4.95
"""eV/atom, PBE energy of oxygen in O2 fitted to oxides (Merchant et al., as above)."""


@dataclass(frozen=True)
class Shomate:
    """One temperature range of a Shomate equation; t = T/1000 K, kJ/mol and J/(mol K).

    Parameters
    ----------
    low, high
        Range of temperature, K.
    heat
        A, B, C, D, E of the heat capacity A + B t + C t^2 + D t^3 + E / t^2.
    enthalpy, entropy
        The constants F - H and G of the enthalpy above 298.15 K and of the entropy.
    """

    low: float
    high: float
    heat: tuple[float, float, float, float, float]
    enthalpy: float
    entropy: float


GASES: dict[str, tuple[Shomate, ...]] = {
    "O": (
        Shomate(100, 700, (31.32234, -20.23531, 57.86644, -36.50624, -0.007374),
                -8.903471, 246.7945),
        Shomate(700, 2000, (30.03235, 8.772972, -3.988133, 0.788313, -0.741599),
                -11.32468, 236.1663),
    ),
    "N": (
        Shomate(100, 500, (28.98641, 1.853978, -9.647459, 16.63537, 0.000117),
                -8.671914, 226.4168),
        Shomate(500, 2000, (19.50583, 19.88705, -8.598535, 1.369784, 0.527601),
                -4.935202, 212.3900),
    ),
    "H": (
        Shomate(298, 1000, (33.066178, -11.363417, 11.432816, -2.772874, -0.158558),
                -9.980797, 172.707974),
    ),
    "F": (
        Shomate(298, 6000, (31.44510, 8.413831, -2.778850, 0.218104, -0.211175),
                -10.43260, 237.2770),
    ),
    "Cl": (
        Shomate(298, 1000, (33.05060, 12.22940, -12.06510, 4.385330, -0.159494),
                -10.83480, 259.0290),
    ),
}  # fmt: skip
"""Diatomic gases by element."""


def gas_correction(element: str, temperature: float, pressure: float) -> float:
    """Change of an element's chemical potential in its gas from 298.15 K and 1 bar, eV/atom.

    Half of that of the diatomic molecule: H(T) - H0 - (T S(T) - T0 S0) + k T ln(p / p0).

    Parameters
    ----------
    element
        O, N, H, F or Cl.
    temperature
        K, within the range of the tables.
    pressure
        Partial pressure of the gas, Pa.
    """
    if element not in GASES:
        raise InputError(f"There are gas data for {', '.join(GASES)}, not for {element!r}.")
    if not pressure > 0:
        raise PhysicsError(f"A partial pressure is above zero; {pressure} Pa was given.")
    standard = _enthalpy_and_entropy(element, STANDARD_TEMPERATURE)
    enthalpy, entropy = _enthalpy_and_entropy(element, temperature)
    heat = temperature * entropy - STANDARD_TEMPERATURE * standard[1]
    molecule = (enthalpy - standard[0] - heat / 1000.0) / KJ_PER_MOL_PER_EV
    return 0.5 * (molecule + BOLTZMANN * temperature * math.log(pressure / STANDARD_PRESSURE))


def _enthalpy_and_entropy(element: str, temperature: float) -> tuple[float, float]:
    """Enthalpy above 298.15 K in kJ/mol, and entropy in J/(mol K), of a diatomic gas."""
    ranges = GASES[element]
    for piece in ranges:
        if piece.low <= temperature <= piece.high:
            return _evaluate(piece, temperature / 1000.0)
    raise PhysicsError(
        f"The gas data of {element}2 hold from {ranges[0].low:g} to {ranges[-1].high:g} K; "
        f"{temperature} K was given."
    )


def _evaluate(piece: Shomate, t: float) -> tuple[float, float]:
    a, b, c, d, e = piece.heat
    enthalpy = a * t + b * t**2 / 2 + c * t**3 / 3 + d * t**4 / 4 - e / t + piece.enthalpy
    entropy = a * math.log(t) + b * t + c * t**2 / 2 + d * t**3 / 3 - e / (2 * t**2) + piece.entropy
    return enthalpy, entropy


def oxygen_potential(
    temperature: float = AIR_TEMPERATURE,
    pressure: float = AIR_OXYGEN_PRESSURE,
    *,
    reference: float = OXYGEN_REFERENCE,
) -> float:
    """Chemical potential of oxygen in a gas, by default in air, eV/atom.

    Parameters
    ----------
    temperature
        K.
    pressure
        Partial pressure of O2, Pa.
    reference
        Energy of oxygen in O2 at 298.15 K and 1 bar on the scale of the hull: -4.95 eV for PBE
        total energies, 0 for formation energies.
    """
    return reference + gas_correction("O", temperature, pressure)
