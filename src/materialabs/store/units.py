"""Base units of properties in the narrow table, so that values of one name compare."""

from __future__ import annotations

from typing import Final

from materialabs.errors import InputError
from materialabs.store.dimensions import converted
from materialabs.units import convert

BASE_UNITS: Final[dict[str, str]] = {
    "band_gap": "eV",
    "energy": "eV/atom",
    "energy_correction": "eV/atom",
    "formation_energy": "eV/atom",
    "hull_distance": "eV/atom",
    "bulk_modulus": "GPa",
    "shear_modulus": "GPa",
    "pressure": "GPa",
    "magnetization": "Bohr magneton",
    "stress": "eV/angstrom^3",
    "forces": "eV/angstrom",
}
"""Units that values of well-known properties are kept in."""


def base_unit(name: str, unit: str) -> str:
    """The unit that values of a property are kept in: the registered one, or the first given."""
    return BASE_UNITS.get(name, unit)


def to_base(name: str, value: float, unit: str, base: str) -> float:
    """A value in the base unit of its property; refused where the units do not compare."""
    if unit == base:
        return value
    try:
        return float(convert(value, unit, base))
    except InputError:
        pass
    try:
        return converted(value, unit, base)
    except InputError as error:
        raise InputError(
            f"Values of {name} are kept in {base or 'no unit'}; {unit or 'no unit'} does not "
            "convert to it."
        ) from error
