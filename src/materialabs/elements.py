"""The chemical elements: tables as arrays by atomic number, each with its source.

Every table has 119 rows, so that ``TABLE[Z]`` is element Z; row 0 is empty. Missing values are
NaN. :func:`describe` gives the unit and the source of a table. The numbers stand in
``elements.json``, which ``scripts/make_element_tables.py`` writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.errors import FormulaError, NotFound

_DOCUMENT: Final[dict[str, Any]] = json.loads(
    resources.files("materialabs").joinpath("elements.json").read_text(encoding="utf-8")
)

SYMBOLS: Final[tuple[str, ...]] = ("", *_DOCUMENT["symbols"])
"""Element symbols; ``SYMBOLS[26]`` is ``"Fe"``."""

NUMBER_OF: Final = {symbol: number for number, symbol in enumerate(SYMBOLS) if symbol}
"""Atomic numbers by symbol; :func:`atomic_number` also takes D and T, and refuses in words."""


def _column(name: str) -> NDArray[np.float64]:
    values = _DOCUMENT["tables"][name]["values"]
    array = np.array([np.nan, *(np.nan if v is None else v for v in values)], dtype=np.float64)
    array.setflags(write=False)
    return array


def _truths(name: str) -> NDArray[np.bool_]:
    array = np.array([False, *_DOCUMENT["tables"][name]["values"]], dtype=bool)
    array.setflags(write=False)
    return array


def _states(name: str) -> tuple[tuple[int, ...], ...]:
    return ((), *(tuple(row) for row in _DOCUMENT["tables"][name]["values"]))


# -- atoms ----------------------------------------------------------------------------------------

ELECTRONEGATIVITY: Final = _column("electronegativity")
"""Pauling electronegativity [119]."""

ATOMIC_MASS: Final = _column("atomic_mass")
"""Standard atomic weight [119], amu."""

IONIZATION_ENERGY: Final = _column("ionization_energy")
"""First ionisation energy [119], eV."""

ELECTRON_AFFINITY: Final = _column("electron_affinity")
"""Electron affinity [119], eV; negative where the anion is unbound."""

# -- sizes ----------------------------------------------------------------------------------------

COVALENT_RADIUS: Final = _column("covalent_radius")
"""Covalent radius [119], angstrom (Cordero et al. 2008); H to Cm."""

ATOMIC_RADIUS: Final = _column("atomic_radius")
"""Empirical atomic radius [119], angstrom (Slater 1964)."""

METALLIC_RADIUS: Final = _column("metallic_radius")
"""Metallic radius for 12 neighbours [119], angstrom."""

VDW_RADIUS: Final = _column("vdw_radius")
"""Van der Waals radius [119], angstrom."""

MOLAR_VOLUME: Final = _column("molar_volume")
"""Volume of the solid or liquid element [119], cm^3/mol."""

MELTING_POINT: Final = _column("melting_point")
"""Melting point [119], K."""

# -- electrons and the periodic table --------------------------------------------------------------

VALENCE_ELECTRONS: Final = _column("valence_electrons")
"""Electrons that bind [119]: 4 for Ti and Si, 12 for Zn, 3 for Ga; filled inner shells left out."""

VALENCE_S: Final = _column("valence_s")
"""s electrons outside the noble-gas core [119]."""

VALENCE_P: Final = _column("valence_p")
"""p electrons outside the noble-gas core [119]."""

VALENCE_D: Final = _column("valence_d")
"""d electrons outside the noble-gas core [119], filled shells included."""

VALENCE_F: Final = _column("valence_f")
"""f electrons outside the noble-gas core [119], filled shells included."""

GROUP: Final = _column("group")
"""Group of the periodic table, 1 to 18 [119]; the f block counts as group 3."""

PERIOD: Final = _column("period")
"""Row of the periodic table, 1 to 7 [119]."""

BLOCK: Final[tuple[str, ...]] = ("", *_DOCUMENT["tables"]["block"]["values"])
"""Block of the periodic table: ``BLOCK[26]`` is ``"d"``."""

MENDELEEV_NUMBER: Final = _column("mendeleev_number")
"""Pettifor's order of the elements by chemical likeness [119] (Pettifor 1984)."""

IS_METAL: Final = _truths("is_metal")
"""True for metals [119]; Si, Ge, As, Sb, Te and Po count as non-metals."""

# -- oxidation ------------------------------------------------------------------------------------

COMMON_OXIDATION_STATES: Final = _states("common_oxidation_states")
"""Common oxidation states of each element, rising; ``COMMON_OXIDATION_STATES[26]`` is (2, 3)."""

OXIDATION_STATES: Final = _states("oxidation_states")
"""All known oxidation states of each element, rising."""

ICSD_OXIDATION_STATES: Final = _states("icsd_oxidation_states")
"""Oxidation states seen in at least ten crystals of the ICSD, rising; empty where not counted."""

# -- what an element costs and risks ---------------------------------------------------------------

PRICE: Final = _column("price")
"""Price of the element [119], US dollars a kilogram, mostly of 2013: good to a factor of a few."""

HHI_PRODUCTION: Final = _column("hhi_production")
"""How few countries produce the element [119]: Herfindahl-Hirschman index, 0 to 10,000."""

HHI_RESERVE: Final = _column("hhi_reserve")
"""How few countries hold the reserves [119]: Herfindahl-Hirschman index, 0 to 10,000."""

IS_RADIOACTIVE: Final = _truths("is_radioactive")
"""True for elements without a stable isotope [119]; bismuth counts as stable."""


@dataclass(frozen=True)
class HazardList:
    """Elements that a published list names as hazardous, and which list that is."""

    symbols: tuple[str, ...]
    source: str


HAZARD_LISTS: Final[Mapping[str, HazardList]] = MappingProxyType(
    {
        name: HazardList(tuple(entry["symbols"]), entry["source"])
        for name, entry in _DOCUMENT["hazard_lists"].items()
    }
)
"""Published lists of toxic elements by name, such as ``"RoHS"`` and ``"ICH Q3D class 1"``."""


@dataclass(frozen=True)
class TableSource:
    """The unit of a table and where its values come from."""

    unit: str
    source: str


def describe(table: str) -> TableSource:
    """Unit and source of a table, asked for by its name here, such as ``"ATOMIC_RADIUS"``.

    Raises
    ------
    NotFound
        When there is no such table; the sentence names those there are.
    """
    tables = {**_DOCUMENT["tables"], "ion_radii": _DOCUMENT["ion_radii"]}
    entry = tables.get(table.lower())
    if entry is None:
        names = ", ".join(sorted(name.upper() for name in tables))
        raise NotFound(f"There is no element table {table!r}; there are {names}.")
    return TableSource(entry["unit"], entry["source"])


def atomic_number(symbol: str) -> int:
    """Atomic number of an element symbol; D and T are hydrogen.

    Raises
    ------
    FormulaError
        When no element has this symbol.
    """
    number = NUMBER_OF.get("H" if symbol in ("D", "T") else symbol)
    if number is None:
        raise FormulaError(
            f"{symbol!r} is not the symbol of an element.", code="formula.unknown_element"
        )
    return number


# -- ions -----------------------------------------------------------------------------------------

LOWEST_CHARGE: Final = -3
"""e; the first column of :func:`ion_radius_table`."""

HIGHEST_CHARGE: Final = 8
"""e; the last column of :func:`ion_radius_table`."""

OCTAHEDRAL: Final = 6
"""Neighbours of an ion in the coordination that radii are asked for by default."""


@cache
def _ion_radii() -> dict[tuple[int, int], dict[int, float]]:
    """{(Z, charge): {coordination: radius}}; high spin and the regular geometry come first."""
    radii: dict[tuple[int, int], dict[int, float]] = {}
    rows = sorted(_DOCUMENT["ion_radii"]["rows"], key=lambda row: (bool(row[3]), row[4] == "low"))
    for number, charge, coordination, _geometry, _spin, ionic, _crystal in rows:
        radii.setdefault((number, charge), {}).setdefault(coordination, float(ionic))
    return radii


def ion_radius(symbol: str, charge: int, coordination: int = OCTAHEDRAL) -> float:
    """Effective radius of an ion in angstrom (Shannon, Acta Cryst. A32, 751, 1976).

    Parameters
    ----------
    symbol
        Element symbol.
    charge
        Oxidation state in e.
    coordination
        Number of neighbours.

    Raises
    ------
    NotFound
        When Shannon gives no radius for this ion or this coordination; the sentence names
        those that he gives. High spin counts where he gives both spins.
    """
    number = atomic_number(symbol)
    by_site = _ion_radii().get((number, charge))
    if by_site is None:
        charges = [f"{q:+d}" for z, q in sorted(_ion_radii()) if z == number]
        raise NotFound(
            f"There is no ion radius for {symbol} {charge:+d}; "
            f"known charges are {', '.join(charges) or 'none'}.",
            code="ion.charge",
        )
    if coordination not in by_site:
        raise NotFound(
            f"There is no radius for {symbol} {charge:+d} with {coordination} neighbours; "
            f"known are {', '.join(map(str, sorted(by_site)))}.",
            code="ion.coordination",
        )
    return by_site[coordination]


@cache
def ion_radius_table() -> NDArray[np.float64]:
    """Ion radii [119, 12] in angstrom by atomic number and charge from -3 to +8.

    Each is for six neighbours, or for the number nearest to six that Shannon gives (the larger
    of two equally near); NaN for ions that he does not list.
    """
    table = np.full((len(SYMBOLS), HIGHEST_CHARGE - LOWEST_CHARGE + 1), np.nan)
    for (number, charge), by_site in _ion_radii().items():
        nearest = min(by_site, key=lambda site: (abs(site - OCTAHEDRAL), -site))
        table[number, charge - LOWEST_CHARGE] = by_site[nearest]
    table.setflags(write=False)
    return table


def ion_radii(numbers: ArrayLike, charges: ArrayLike) -> NDArray[np.float64]:
    """Radii in angstrom of many ions at once, for six neighbours or the nearest listed number.

    Parameters
    ----------
    numbers, charges
        Atomic numbers and charges in e, of equal or broadcastable shape. Charges between whole
        numbers or outside -3 ... +8, and ions that Shannon does not list, give NaN.
    """
    sought, charge = np.broadcast_arrays(np.asarray(numbers), np.asarray(charges, dtype=float))
    whole = np.nan_to_num(np.rint(charge), nan=LOWEST_CHARGE)
    listed = (whole == charge) & (whole >= LOWEST_CHARGE) & (whole <= HIGHEST_CHARGE)
    column = np.clip(whole, LOWEST_CHARGE, HIGHEST_CHARGE).astype(np.int64) - LOWEST_CHARGE
    return np.where(listed, ion_radius_table()[sought, column], np.nan)
