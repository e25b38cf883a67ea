"""Structures in the JSON of the OPTIMADE interface (Evans et al., Digital Discovery, 2024)."""

from __future__ import annotations

import string
from collections.abc import Iterator
from itertools import count, product
from typing import Any, Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import is_missing
from materialabs.crystals.files.cells import completed, fractional
from materialabs.crystals.files.entries import Entry, shares_of
from materialabs.crystals.files.names import columns_from, fields_from
from materialabs.crystals.files.plain import plain, present_rows
from materialabs.elements import SYMBOLS
from materialabs.errors import FileError

PREFIX: Final = "_materialabs_"
SITE_PREFIX: Final = "_materialabs_site_"

VERSION: Final = "1.2.0"
"""The version of the interface whose fields are written."""

_DERIVED: Final = frozenset(
    {
        "elements", "nelements", "elements_ratios", "chemical_formula_descriptive",
        "chemical_formula_reduced", "chemical_formula_hill", "chemical_formula_anonymous",
        "dimension_types", "nperiodic_dimensions", "lattice_vectors", "cartesian_site_positions",
        "fractional_site_positions", "nsites", "species", "species_at_sites", "assemblies",
        "structure_features", "site_coordinate_span",
    }
)  # fmt: skip
"""Attributes that the structure itself holds."""

SAME_POSITION: Final = 1e-6
"""Angstrom; fractional positions that give the Cartesian ones within this are taken as given."""


def is_resource(document: Any) -> bool:
    """True for one structure of an answer."""
    if not isinstance(document, dict):
        return False
    attributes = document.get("attributes")
    return isinstance(attributes, dict) and "species_at_sites" in attributes


def is_answer(document: Any) -> bool:
    """True for a whole answer: ``data`` beside ``meta`` or made of structures."""
    if not isinstance(document, dict) or "data" not in document:
        return False
    data = document["data"]
    first = data[0] if isinstance(data, list) and data else data
    typed = isinstance(first, dict) and first.get("type") == "structures"
    return typed or is_resource(first)


def entry_from_resource(document: dict[str, Any]) -> Entry:
    """Read one structure."""
    attributes = dict(document["attributes"])
    notes: list[str] = []
    positions = np.array(attributes["cartesian_site_positions"], dtype=float).reshape(-1, 3)
    vectors = [
        [0.0 if one is None else float(one) for one in vector]
        for vector in attributes.get("lattice_vectors") or [[None] * 3] * 3
    ]
    cell, moved = completed(np.array(vectors, dtype=float).reshape(3, 3), positions)
    dimensions = attributes.get("dimension_types") or [1, 1, 1]
    numbers, shares = shares_of(_fractions(attributes, notes))
    if attributes.get("assemblies"):
        notes.append("assemblies (sites that are occupied together) are not kept")
    own = {name: value for name, value in attributes.items() if name.startswith(PREFIX)}
    columns = columns_from(
        {
            **{n: v for n, v in attributes.items() if n not in _DERIVED and n not in own},
            **{n[len(PREFIX) :]: v for n, v in own.items() if not n.startswith(SITE_PREFIX)},
        },
        notes,
    )
    columns["id"] = str(document.get("id", columns.get("id", "")))
    return Entry(
        cell,
        _fractional(attributes, cell, moved, positions),
        numbers,
        tuple(bool(one) for one in dimensions),
        columns=columns,
        site_columns={
            n[len(SITE_PREFIX) :]: v for n, v in own.items() if n.startswith(SITE_PREFIX)
        },
        shares=shares,
        notes=notes,
    )


def _fractional(attributes: dict[str, Any], cell: Any, moved: Any, positions: Any) -> Any:
    given = attributes.get("fractional_site_positions")
    if given is not None and moved is positions:
        frac = np.array(given, dtype=float).reshape(-1, 3)
        if frac.shape == positions.shape and np.allclose(
            frac @ cell, positions, rtol=1e-12, atol=SAME_POSITION
        ):
            return frac
    return fractional(cell, moved)


def _fractions(attributes: dict[str, Any], notes: list[str]) -> list[dict[str, float]]:
    """Occupants of each site; what is vacant is left out, so that the sum is below one."""
    kinds: dict[str, dict[str, float]] = {}
    for kind in attributes.get("species") or []:
        shares: dict[str, float] = {}
        for symbol, share in zip(kind["chemical_symbols"], kind["concentration"], strict=True):
            if symbol != "vacancy":
                shares[symbol] = shares.get(symbol, 0.0) + float(share)
        kinds[str(kind["name"])] = shares
        if kind.get("attached"):
            notes.append("atoms attached to a site without a position are left out")
    at_sites = attributes["species_at_sites"]
    unknown = [name for name in at_sites if name not in kinds]
    if unknown and attributes.get("species"):
        raise FileError(f"has a site of species {unknown[0]!r}, which its species do not name")
    return [kinds.get(name, {name: 1.0}) for name in at_sites]


def document_of(crystals: Crystals) -> dict[str, Any]:
    """The beginning of an answer, without its structures."""
    return {
        "meta": {
            "api_version": VERSION,
            "more_data_available": False,
            "data_returned": len(crystals),
            "query": {"representation": "/structures"},
        },
        "links": {"next": None},
    }


def resources_of(crystals: Crystals) -> Iterator[dict[str, Any]]:
    """One structure of an answer for each crystal."""
    names = crystals.ids()
    disordered = crystals.disordered()
    amounts = list(crystals.compositions)
    reduced = list(crystals.compositions.reduced())
    for index in range(len(crystals)):
        columns = {name: plain(value) for name, value in crystals.columns.row(index).items()}
        columns.pop("id", None)
        attributes = _attributes(crystals, index, bool(disordered[index]))
        attributes |= _formulas(amounts[index], reduced[index])
        attributes |= {
            name if name.startswith("_") else PREFIX + name: value
            for name, value in fields_from(columns).items()
        }
        yield {"id": names[index], "type": "structures", "attributes": attributes}


def _attributes(crystals: Crystals, index: int, disordered: bool) -> dict[str, Any]:
    start, stop = int(crystals.offsets[index]), int(crystals.offsets[index + 1])
    frac = crystals.frac[start:stop]
    names, species = _species(crystals, start, stop)
    attributes: dict[str, Any] = {
        "last_modified": None,
        "dimension_types": [int(one) for one in crystals.pbc[index]],
        "nperiodic_dimensions": int(crystals.pbc[index].sum()),
        "lattice_vectors": crystals.lattice[index].tolist(),
        "cartesian_site_positions": (frac @ crystals.lattice[index]).tolist(),
        "fractional_site_positions": frac.tolist(),
        "nsites": stop - start,
        "species": species,
        "species_at_sites": names,
        "structure_features": ["disorder"] if disordered else [],
    }
    for name, column in crystals.site_columns.items():
        part = column[start:stop]
        if not is_missing(part).all():
            attributes[SITE_PREFIX + name] = present_rows(part)
    return attributes


def _species(crystals: Crystals, start: int, stop: int) -> tuple[list[str], list[dict[str, Any]]]:
    """The kind of each site, and the list of kinds with concentrations and vacancies."""
    table = crystals.occupancy
    names: list[str] = []
    kinds: dict[str, dict[str, Any]] = {}
    for site in range(start, stop):
        if table is None:
            symbols, shares = [SYMBOLS[crystals.numbers[site]]], [1.0]
        else:
            a, b = table.offsets[site], table.offsets[site + 1]
            symbols = [SYMBOLS[number] for number in table.occupants[a:b].tolist()]
            shares = table.fractions[a:b].tolist()
        vacant = 1.0 - sum(shares)
        if vacant > 1e-9:
            symbols, shares = [*symbols, "vacancy"], [*shares, vacant]
        whole = len(symbols) == 1
        name = (
            symbols[0]
            if whole
            else " ".join(f"{s}{share!r}" for s, share in zip(symbols, shares, strict=True))
        )
        kinds.setdefault(
            name,
            {
                "name": name,
                "chemical_symbols": symbols,
                "concentration": [1.0] if whole else shares,
            },
        )
        names.append(name)
    return names, list(kinds.values())


def _formulas(amounts: dict[int, float], reduced: dict[int, float]) -> dict[str, Any]:
    symbols = {SYMBOLS[number]: amount for number, amount in amounts.items()}
    total = sum(symbols.values())
    names = sorted(symbols)
    whole = all(abs(amount - round(amount)) < 1e-6 for amount in reduced.values())
    small = {SYMBOLS[number]: round(amount) for number, amount in reduced.items()}
    return {
        "elements": names,
        "nelements": len(names),
        "elements_ratios": [symbols[name] / total for name in names],
        "chemical_formula_descriptive": "".join(f"{name}{symbols[name]:g}" for name in names),
        "chemical_formula_reduced": _plain_formula(small) if whole else None,
        "chemical_formula_anonymous": _anonymous(small) if whole else None,
    }


def _plain_formula(amounts: dict[str, int]) -> str:
    return "".join(
        f"{name}{amounts[name] if amounts[name] != 1 else ''}" for name in sorted(amounts)
    )


def _anonymous(amounts: dict[str, int]) -> str:
    letters = _letters()
    return "".join(
        f"{next(letters)}{amount if amount != 1 else ''}"
        for amount in sorted(amounts.values(), reverse=True)
    )


def _letters() -> Iterator[str]:
    """A, B, ..., Z, Aa, Ba, ..., Za, Ab, ... as the standard counts."""
    for size in count(0):
        for tail in product(string.ascii_lowercase, repeat=size):
            for head in string.ascii_uppercase:
                yield head + "".join(reversed(tail))
