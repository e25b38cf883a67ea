"""pymatgen's JSON forms: Structure, ComputedStructureEntry and ComputedEntry, without pymatgen.

The dictionaries are read and written directly, so that no class that a file names is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import is_missing
from materialabs.crystals.convert import PYMATGEN_SITE_NAMES
from materialabs.crystals.files.cells import fractional, lattice_of, parameters_of
from materialabs.crystals.files.entries import PERIODIC, Entry, shares_of
from materialabs.crystals.files.names import columns_from, fields_from
from materialabs.crystals.files.plain import plain, present_rows
from materialabs.elements import SYMBOLS
from materialabs.errors import FileError

_OUR_SITE_NAMES: Final = {
    "magnetic_moment": "magmom",
    "force": "forces",
    "velocity": "velocities",
}

FUNCTIONALS: Final = {"R2SCAN": "r2SCAN", "PBESOL": "PBEsol", "PE": "PBE"}
"""Other spellings of functionals."""

NO_STRUCTURE: Final = (
    "has a composition and an energy but no structure: it is an entry for a hull, not a crystal"
)


def is_structure(document: Any) -> bool:
    """True for the dictionary form of a pymatgen Structure."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("lattice"), dict)
        and isinstance(document.get("sites"), list)
    )


def is_computed_entry(document: Any) -> bool:
    """True for the dictionary form of a computed entry, with a structure or without."""
    return (
        isinstance(document, dict)
        and "energy" in document
        and (
            str(document.get("@class", "")).startswith("Computed")
            or ("composition" in document and "correction" in document)
        )
    )


def entry_from_structure(document: dict[str, Any]) -> Entry:
    """Read the dictionary of a Structure."""
    cell = document["lattice"]
    lattice = _lattice(cell)
    sites = document["sites"]
    if not all(isinstance(site, dict) for site in sites):
        raise FileError("has sites that are not objects")
    frac = _coordinates(sites, lattice)
    fractions, states = _species(sites)
    numbers, shares = shares_of(fractions)
    notes: list[str] = []
    properties = document.get("properties")
    columns = columns_from(dict(properties), notes) if isinstance(properties, dict) else {}
    if document.get("charge") is not None:
        columns["charge"] = document["charge"]
    pbc = cell.get("pbc", PERIODIC)
    return Entry(
        lattice,
        frac,
        numbers,
        tuple(bool(one) for one in pbc) if isinstance(pbc, (list, tuple)) else PERIODIC,
        columns=columns,
        site_columns=_site_columns(sites, fractions, states),
        shares=shares,
        notes=notes,
    )


def _lattice(cell: dict[str, Any]) -> list[list[float]]:
    if cell.get("matrix") is not None:
        return lattice_of(cell["matrix"])
    try:
        return lattice_of([cell[name] for name in ("a", "b", "c", "alpha", "beta", "gamma")])
    except KeyError:
        raise FileError("has a lattice without a matrix") from None


def _coordinates(sites: list[dict[str, Any]], lattice: Any) -> NDArray[np.float64]:
    if all("abc" in site for site in sites):
        return np.array([site["abc"] for site in sites], dtype=float).reshape(-1, 3)
    if all("xyz" in site for site in sites):
        return fractional(lattice, [site["xyz"] for site in sites])
    raise FileError("has a site without coordinates (abc or xyz)")


def _species(
    sites: list[dict[str, Any]],
) -> tuple[list[dict[str, float]], list[float | None]]:
    """Occupants of each site, and its mean oxidation state where all of them have one."""
    fractions: list[dict[str, float]] = []
    states: list[float | None] = []
    for site in sites:
        shares: dict[str, float] = {}
        known: list[float] = []
        for specie in site["species"]:
            symbol = specie["element"] if "element" in specie else specie["symbol"]
            share = float(specie["occu"])
            shares[symbol] = shares.get(symbol, 0.0) + share
            state = specie.get("oxidation_state")
            if state is not None:
                known.append(float(state) * share)
        fractions.append(shares)
        total = sum(shares.values())
        complete = len(known) == len(site["species"]) and total > 0
        states.append(sum(known) / total if complete else None)
    return fractions, states


def _site_columns(
    sites: list[dict[str, Any]],
    fractions: list[dict[str, float]],
    states: list[float | None],
) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    tables = [site.get("properties") or {} for site in sites]
    for name in dict.fromkeys(name for table in tables for name in table):
        values = [table.get(name) for table in tables]
        if name == "selective_dynamics":
            columns["fixed"] = _flipped(values)
        else:
            columns[PYMATGEN_SITE_NAMES.get(name, name)] = values
    if any(state is not None for state in states):
        columns["oxidation_state"] = states
    labels = [site.get("label") for site in sites]
    plain_names = [next(iter(shares), None) for shares in fractions]
    if any(
        label is not None and label != f"{name}{place}" and not _is_species(label, name)
        for place, (label, name) in enumerate(zip(labels, plain_names, strict=True))
    ):
        columns["label"] = labels
    return columns


def _is_species(label: str, symbol: str | None) -> bool:
    """The label only repeats the element, its charge or its occupancy."""
    rest = str(label).removeprefix(symbol or "")
    return rest == "" or rest[0] in "+-:" or (rest[-1] in "+-" and rest[:-1].isdecimal())


def _flipped(flags: list[Any]) -> Any:
    """Free to move, as VASP and pymatgen write it, to fixed."""
    rows = [[True] * 3 if flag is None else flag for flag in flags]
    return ~np.array(rows, dtype=bool).reshape(-1, 3)


def entry_from_computed(document: dict[str, Any]) -> Entry:
    """Read a computed entry: its ``energy`` and ``correction`` are eV for the whole cell."""
    structure = document.get("structure")
    if not isinstance(structure, dict) or not is_structure(structure):
        raise FileError(NO_STRUCTURE)
    entry = entry_from_structure(structure)
    atoms = float(len(entry.numbers))
    if entry.shares is not None:
        atoms = sum(sum(shares.values()) for shares in entry.shares)
    entry.columns.update(computed_columns(document, atoms, entry.notes))
    return entry


def computed_columns(document: dict[str, Any], atoms: float, notes: list[str]) -> dict[str, Any]:
    """Columns of a computed entry; energies divided by the number of atoms of its cell."""
    data = document.get("data")
    columns = columns_from(dict(data), notes) if isinstance(data, dict) else {}
    if atoms <= 0:
        raise FileError("has a composition without atoms")
    columns["energy"] = float(document["energy"]) / atoms
    correction = document.get("correction")
    adjustments = document.get("energy_adjustments")
    if correction is None and isinstance(adjustments, list):
        correction = sum(_adjustment(one) for one in adjustments)
    if correction is not None:
        columns["correction"] = float(correction) / atoms
    if document.get("entry_id") is not None:
        columns["id"] = str(document["entry_id"])
    parameters = document.get("parameters")
    if isinstance(parameters, dict):
        columns.update(level_columns(parameters))
        if parameters:
            columns["parameters"] = parameters
    return columns


def _adjustment(adjustment: dict[str, Any]) -> float:
    if adjustment.get("value") is not None:
        return float(adjustment["value"])
    return float(adjustment["adj_per_atom"]) * float(adjustment["n_atoms"])


def level_columns(parameters: dict[str, Any]) -> dict[str, Any]:
    """Functional, +U and pseudopotentials of a computed entry's parameters."""
    columns: dict[str, Any] = {}
    potentials = parameters.get("pseudo_potential")
    functional = potentials.get("functional") if isinstance(potentials, dict) else None
    run = parameters.get("run_type")
    if isinstance(run, str) and run not in ("GGA", "GGA+U", "PBE", "PBE+U"):
        functional = run.removesuffix("+U")
    symbols = parameters.get("potcar_symbols")
    if functional is None and isinstance(symbols, list) and symbols:
        families = {str(symbol).split()[0] for symbol in symbols if str(symbol).strip()}
        functional = "PBE" if families <= {"PBE", "PAW_PBE"} else None
    if isinstance(functional, str):
        columns["functional"] = FUNCTIONALS.get(functional.upper(), functional)
    hubbards = parameters.get("hubbards")
    if isinstance(hubbards, dict):
        columns["hubbard"] = hubbard_text(hubbards)
    if isinstance(symbols, list):
        columns["pseudopotentials"] = ", ".join(str(symbol) for symbol in symbols)
    return columns


def hubbard_text(values: dict[str, Any]) -> str:
    """U values in eV as one text, ``Fe:5.3``; empty where all are zero."""
    return " ".join(
        f"{symbol}:{float(value):g}" for symbol, value in sorted(values.items()) if float(value)
    )


def documents_of(crystals: Crystals) -> Iterator[dict[str, Any]]:
    """A computed entry for each crystal that has an energy, a Structure for each other."""
    for index in range(len(crystals)):
        columns = {name: plain(value) for name, value in crystals.columns.row(index).items()}
        structure = _structure(crystals, index, columns.pop("charge", None))
        if "energy" not in columns:
            structure["properties"] = fields_from(columns)
            yield structure
            continue
        yield _computed(structure, columns)


def _computed(structure: dict[str, Any], columns: dict[str, Any]) -> dict[str, Any]:
    composition: dict[str, float] = {}
    for site in structure["sites"]:
        for specie in site["species"]:
            symbol = specie["element"]
            composition[symbol] = composition.get(symbol, 0.0) + specie["occu"]
    atoms = float(sum(composition.values()))
    correction = columns.pop("correction", 0.0) * atoms
    adjustments = []
    if correction:
        adjustments.append(
            {
                "@module": "pymatgen.entries.computed_entries",
                "@class": "ManualEnergyAdjustment",
                "value": correction,
            }
        )
    parameters = columns.pop("parameters", {})
    for name in level_columns(parameters):
        columns.pop(name, None)
    return {
        "@module": "pymatgen.entries.computed_entries",
        "@class": "ComputedStructureEntry",
        "energy": columns.pop("energy") * atoms,
        "composition": composition,
        "correction": correction,
        "energy_adjustments": adjustments,
        "parameters": parameters,
        "entry_id": columns.pop("id", None),
        "data": fields_from(columns),
        "structure": structure,
    }


def _structure(crystals: Crystals, index: int, charge: Any) -> dict[str, Any]:
    start, stop = int(crystals.offsets[index]), int(crystals.offsets[index + 1])
    lattice = crystals.lattice[index]
    cart = crystals.frac[start:stop] @ lattice
    sites = [
        {
            "species": species,
            "abc": abc,
            "xyz": xyz,
            "label": _symbol_text(species),
            "properties": {},
        }
        for species, abc, xyz in zip(
            _site_species(crystals, start, stop),
            crystals.frac[start:stop].tolist(),
            cart.tolist(),
            strict=True,
        )
    ]
    _write_site_columns(crystals, start, stop, sites)
    a, b, c, alpha, beta, gamma = parameters_of(lattice)
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": charge,
        "lattice": {
            "matrix": lattice.tolist(),
            "pbc": crystals.pbc[index].tolist(),
            "a": a, "b": b, "c": c, "alpha": alpha, "beta": beta, "gamma": gamma,
            "volume": float(abs(np.linalg.det(lattice))),
        },
        "properties": {},
        "sites": sites,
    }  # fmt: skip


def _site_species(crystals: Crystals, start: int, stop: int) -> list[list[dict[str, Any]]]:
    table = crystals.occupancy
    if table is None:
        every = [
            [{"element": SYMBOLS[number], "occu": 1}]
            for number in crystals.numbers[start:stop].tolist()
        ]
    else:
        bounds = table.offsets[start : stop + 1].tolist()
        every = [
            [
                {"element": SYMBOLS[number], "occu": share}
                for number, share in zip(
                    table.occupants[a:b].tolist(), table.fractions[a:b].tolist(), strict=True
                )
            ]
            for a, b in pairwise(bounds)
        ]
    states = crystals.site_columns.get("oxidation_state")
    if states is not None:
        for species, state in zip(every, states[start:stop].tolist(), strict=True):
            if state == state:
                for specie in species:
                    specie["oxidation_state"] = state
    return every


def _symbol_text(species: list[dict[str, Any]]) -> str:
    if len(species) == 1 and species[0]["occu"] == 1:
        return str(species[0]["element"])
    return ", ".join(f"{specie['element']}:{specie['occu']:.3g}" for specie in species)


def _write_site_columns(
    crystals: Crystals, start: int, stop: int, sites: list[dict[str, Any]]
) -> None:
    for name, column in crystals.site_columns.items():
        part = column[start:stop]
        if name == "oxidation_state" or is_missing(part).all():
            continue
        if name == "label":
            for site, label in zip(sites, part.tolist(), strict=True):
                site["label"] = site["label"] if label is None else label
        elif name == "fixed":
            for site, flags in zip(sites, np.ma.filled(part, False).tolist(), strict=True):
                site["properties"]["selective_dynamics"] = [not flag for flag in flags]
        else:
            theirs = _OUR_SITE_NAMES.get(name, name)
            for site, value in zip(sites, present_rows(part), strict=True):
                site["properties"][theirs] = value
