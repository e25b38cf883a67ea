"""A reference structure for every element up to plutonium: what formation energies start from.

The structures are starting points: a campaign relaxes them at its own level. Where the
element's ground state at low temperature and its familiar room-temperature phase differ by a
few meV/atom (Li and Na), the familiar phase is taken. H2, N2, O2 and F2 are molecules alone in
a cell. Structures are built at run time from the tables that ASE and pymatgen ship, each with
its source in the column ``source``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.elements import SYMBOLS, atomic_number
from materialabs.errors import NotFound

LAST_REFERENCE: Final = 94
"""Atomic number of plutonium, the last element with a reference structure."""

MOLECULE_CELL: Final = 10.0
"""Angstrom; edge of the cubic cell around a molecule. The images stand further apart than the
cut-off of any potential in common use (6 angstrom)."""

DELTA_SOURCE: Final = (
    "PBE ground-state crystals of the Delta test, Lejaeghere et al., Crit. Rev. Solid State Mater. "
    "Sci. 39, 1 (2014), from ase.collections.dcdft"
)
ASHCROFT_SOURCE: Final = (
    "Ashcroft and Mermin, Solid State Physics (1976), from ase.data.reference_states"
)
AFLOW_SOURCE: Final = (
    "AFLOW Library of Crystallographic Prototypes, Mehl et al., Comput. Mater. Sci. 136, S1 "
    "(2017), as shipped by pymatgen, prototype {label}"
)
MOLECULE_SOURCE: Final = "measured bond length, from ase.data.reference_states"

LAYERS_PER_HCP_CELL: Final = 2
"""Layers of a double hexagonal cell for each layer pair of an hcp cell."""


def reference(symbol: str) -> Crystals:
    """The reference structure of one element, as a batch of one.

    Raises
    ------
    NotFound
        For elements beyond plutonium.
    """
    return reference_crystals([symbol])


def reference_crystals(symbols: Sequence[str] | None = None) -> Crystals:
    """Reference structures of the elements named, or of all from H to Pu.

    The columns are ``id`` (the symbol), ``phase`` (in words), ``source`` and ``stand_in`` (true
    where the element was never measured as a solid and the structure is an assumption). The site
    column ``magnetic_moment`` is given where the reference is magnetic.
    """
    everything = _all_references()
    if symbols is None:
        return everything
    numbers = [atomic_number(symbol) for symbol in symbols]
    for number in numbers:
        if number > LAST_REFERENCE:
            raise NotFound(
                f"There is no reference structure for {SYMBOLS[number]}: they end at plutonium.",
                code="reference.element",
            )
    return everything.take(np.array(numbers, dtype=np.int64) - 1)


@cache
def _all_references() -> Crystals:
    recipes = _recipes()
    return Crystals.concat([recipes[SYMBOLS[z]]() for z in range(1, LAST_REFERENCE + 1)])


def _recipes() -> dict[str, Callable[[], Crystals]]:
    """How each element's structure is made, read from ``references.json``."""
    document = json.loads(
        resources.files("materialabs.crystals").joinpath("references.json").read_text("utf-8")
    )
    recipes: dict[str, Callable[[], Crystals]] = {}
    for build, phases in ((_delta, document["delta"]), (_ashcroft, document["ashcroft"])):
        for phase, names in phases.items():
            for symbol in names.split():
                recipes[symbol] = _recipe(build, symbol, phase)
    for symbol, (label, phase) in document["aflow"].items():
        recipes[symbol] = _recipe(_aflow, symbol, phase, label)
    for symbol, (moment, phase) in document["molecules"].items():
        recipes[symbol] = _recipe(_molecule, symbol, phase, moment)
    for symbol, entry in document["lattice"].items():
        recipes[symbol] = _recipe(_published, symbol, entry["phase"], entry)
    for symbol, entry in document["borrowed"].items():
        recipes[symbol] = _recipe(_borrowed, symbol, entry["phase"], entry)
    return recipes


def _recipe(
    build: Callable[..., Crystals], symbol: str, phase: str, *details: Any
) -> Callable[[], Crystals]:
    return lambda: build(symbol, phase, *details)


def _named(
    crystals: Crystals, symbol: str, phase: str, source: str, *, stand_in: bool = False
) -> Crystals:
    return crystals.replace(
        columns={"id": [symbol], "phase": [phase], "source": [source], "stand_in": [stand_in]}
    )


def _delta(symbol: str, phase: str) -> Crystals:
    from ase.collections import dcdft

    return _named(Crystals.from_ase(dcdft[symbol]), symbol, phase, DELTA_SOURCE)


def _ashcroft(symbol: str, phase: str) -> Crystals:
    from ase.build import bulk
    from ase.data import reference_states

    if phase == "dhcp":
        entry = reference_states[atomic_number(symbol)]
        edge = float(entry["a"])
        height = LAYERS_PER_HCP_CELL * float(entry["c/a"]) * edge
        crystals = _double_hexagonal(symbol, edge, height)
    else:
        crystals = Crystals.from_ase(bulk(symbol))
    return _named(crystals, symbol, phase, ASHCROFT_SOURCE)


def _published(symbol: str, phase: str, entry: dict[str, Any]) -> Crystals:
    from ase.build import bulk

    if entry["lattice"] == "dhcp":
        crystals = _double_hexagonal(symbol, entry["a"], entry["c"])
    else:
        crystals = Crystals.from_ase(bulk(symbol, entry["lattice"], a=entry["a"]))
    stand_in = entry.get("stand_in", False)
    return _named(crystals, symbol, phase, entry["source"], stand_in=stand_in)


def _borrowed(symbol: str, phase: str, entry: dict[str, str]) -> Crystals:
    lender = _delta(entry["from"], phase)
    numbers = np.full_like(lender.numbers, atomic_number(symbol))
    return _named(lender.replace(numbers=numbers), symbol, phase, entry["source"], stand_in=True)


def _aflow(symbol: str, phase: str, label: str) -> Crystals:
    from materialabs.crystals.prototypes import prototypes

    found = prototypes().crystals
    rows = np.flatnonzero(found.columns["aflow"] == label)
    rows = rows[np.asarray(found.numbers[found.offsets[rows]] == atomic_number(symbol))]
    if len(rows) == 0:
        raise NotFound(f"pymatgen ships no prototype {label} of {symbol}: update pymatgen.")
    return _named(found[rows[:1]], symbol, phase, AFLOW_SOURCE.format(label=label))


def _molecule(symbol: str, phase: str, moment: float) -> Crystals:
    from ase.data import reference_states

    bond = float(reference_states[atomic_number(symbol)]["d"])
    heights = 0.5 + np.array([-0.5, 0.5]) * bond / MOLECULE_CELL
    frac = np.column_stack([np.full(2, 0.5), np.full(2, 0.5), heights])
    crystals = _crystal(symbol, np.eye(3) * MOLECULE_CELL, frac)
    if moment:
        crystals = crystals.with_site_columns(magnetic_moment=np.full(2, moment))
    return _named(crystals, symbol, phase, MOLECULE_SOURCE)


def _double_hexagonal(symbol: str, edge: float, height: float) -> Crystals:
    """Four close-packed layers, stacked ABAC; edges in angstrom."""
    lattice = np.array(
        [[edge, 0, 0], [-edge / 2, edge * np.sqrt(3) / 2, 0], [0, 0, height]], dtype=float
    )
    frac = np.array(
        [[0, 0, 0], [1 / 3, 2 / 3, 1 / 4], [0, 0, 1 / 2], [2 / 3, 1 / 3, 3 / 4]], dtype=float
    )
    return _crystal(symbol, lattice, frac)


def _crystal(symbol: str, lattice: NDArray[np.float64], frac: NDArray[np.float64]) -> Crystals:
    return Crystals.from_arrays([lattice], [frac], [np.full(len(frac), atomic_number(symbol))])
