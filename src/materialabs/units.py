"""Units of the package and the factors between them.

Inside materialabs: eV, angstrom, eV/atom, K, fs; moduli and pressure in GPa; forces in
eV/angstrom; stress in eV/angstrom^3, positive under tension, pressure = -trace/3. Other units
appear only at borders, through the factors here (CODATA 2018, exact where the SI defines them).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.errors import InputError

ELEMENTARY_CHARGE: Final = 1.602176634e-19
"""Coulomb (exact, SI 2019)."""

BOLTZMANN: Final = 1.380649e-23 / ELEMENTARY_CHARGE
"""eV/K (exact, SI 2019)."""

AVOGADRO: Final = 6.02214076e23
"""1/mol (exact, SI 2019)."""

GPA_PER_EV_PER_CUBIC_ANGSTROM: Final = ELEMENTARY_CHARGE * 1e30 / 1e9
"""GPa in one eV/angstrom^3."""

KJ_PER_MOL_PER_EV: Final = ELEMENTARY_CHARGE * AVOGADRO / 1e3
"""kJ/mol in one eV per particle."""

GRAM_PER_CUBIC_CENTIMETRE_PER_AMU_PER_CUBIC_ANGSTROM: Final = 1e24 / AVOGADRO
"""g/cm^3 in one atomic mass unit per cubic angstrom."""

_FACTORS: Final[dict[str, dict[str, float]]] = {
    "energy": {
        "eV": 1.0,
        "meV": 1e-3,
        "kJ/mol": 1.0 / KJ_PER_MOL_PER_EV,
        "kcal/mol": 4.184 / KJ_PER_MOL_PER_EV,
        "Ry": 13.605693122994,
        "Ha": 27.211386245988,
        "J": 1.0 / ELEMENTARY_CHARGE,
    },
    "energy per atom": {
        "eV/atom": 1.0,
        "meV/atom": 1e-3,
        "kJ/mol-atom": 1.0 / KJ_PER_MOL_PER_EV,
    },
    "length": {"angstrom": 1.0, "nm": 10.0, "bohr": 0.529177210903, "pm": 0.01},
    "pressure": {
        "GPa": 1.0,
        "kbar": 0.1,
        "MPa": 1e-3,
        "Pa": 1e-9,
        "atm": 101325e-9,
        "eV/angstrom^3": GPA_PER_EV_PER_CUBIC_ANGSTROM,
    },
    "time": {"fs": 1.0, "ps": 1e3, "ns": 1e6},
    "temperature": {"K": 1.0},
}
_QUANTITY: Final = {unit: quantity for quantity, units in _FACTORS.items() for unit in units}


def convert(values: ArrayLike, unit: str, to: str) -> NDArray[np.float64]:
    """Express values given in one unit in another of the same quantity.

    Parameters
    ----------
    values
        Numbers of any shape, in ``unit``.
    unit, to
        Names such as ``"kJ/mol"``; see the module for the list.

    Raises
    ------
    InputError
        When a unit is unknown or the two measure different quantities.
    """
    for name in (unit, to):
        if name not in _QUANTITY:
            raise InputError(
                f"Unknown unit {name!r}; known units are {', '.join(sorted(_QUANTITY))}.",
                code="unit.unknown",
            )
    quantity = _QUANTITY[unit]
    if _QUANTITY[to] != quantity:
        raise InputError(
            f"{unit} measures {quantity} and {to} measures {_QUANTITY[to]}: "
            "give two units of the same quantity.",
            code="unit.mismatch",
        )
    factors = _FACTORS[quantity]
    return np.asarray(values, dtype=np.float64) * (factors[unit] / factors[to])


def pressure_from_stress(stress: ArrayLike) -> NDArray[np.float64]:
    """Pressure in GPa of stress tensors [..., 3, 3] in eV/angstrom^3 (positive under tension)."""
    tensor = np.asarray(stress, dtype=np.float64)
    trace = np.trace(tensor, axis1=-2, axis2=-1)
    return np.asarray(-trace / 3.0 * GPA_PER_EV_PER_CUBIC_ANGSTROM)
