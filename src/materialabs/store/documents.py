"""A stored structure as OPTIMADE writes it: attributes by name, ours with their prefix."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.elements import SYMBOLS
from materialabs.store.filters.fields import FIELDS, NOT_KEPT


def attributes(row: Mapping[str, Any], crystal: Crystals | None = None) -> dict[str, Any]:
    """The attributes of one structure.

    Parameters
    ----------
    row
        Its wide row.
    crystal
        Its crystal, where lattice and sites are wanted too.
    """
    document = {field.name: row[field.column] for field in FIELDS.values() if field.column}
    document["last_modified"] = time_text(row["modified"])
    document |= dict.fromkeys(NOT_KEPT)
    document["structure_features"] = ["disorder"] if row["disordered"] else []
    del document["id"]
    if crystal is not None:
        document |= _geometry(crystal)
    return document


def time_text(seconds: int) -> str:
    """Seconds since 1970 as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _geometry(crystal: Crystals) -> dict[str, Any]:
    amounts = next(iter(crystal.compositions))
    symbols = sorted((SYMBOLS[number], amount) for number, amount in amounts.items())
    total = sum(amounts.values())
    species, at_sites = _species(crystal)
    return {
        "elements": [symbol for symbol, _ in symbols],
        "elements_ratios": [amount / total for _, amount in symbols],
        "dimension_types": [int(flag) for flag in crystal.pbc[0]],
        "lattice_vectors": [
            list(vector) if flag else [None, None, None]
            for vector, flag in zip(crystal.lattice[0].tolist(), crystal.pbc[0], strict=True)
        ],
        "cartesian_site_positions": crystal.positions.tolist(),
        # Fractions need all three vectors, and only what repeats has a cell to fill.
        "fractional_site_positions": crystal.frac.tolist() if crystal.pbc.all() else None,
        "site_coordinate_span": "unit_cell" if crystal.pbc.any() else None,
        "species": species,
        "species_at_sites": at_sites,
        "assemblies": None,
    }


def _species(crystal: Crystals) -> tuple[list[dict[str, Any]], list[str]]:
    """OPTIMADE species: an element, or a shared or partly empty site."""
    if crystal.occupancy is None:
        names = [SYMBOLS[number] for number in crystal.numbers]
        found = sorted(set(names))
        return [_pure(name) for name in found], names
    table = crystal.occupancy
    species: dict[str, dict[str, Any]] = {}
    at_sites = []
    for site in range(len(table)):
        start, stop = table.offsets[site], table.offsets[site + 1]
        shares = dict(
            zip(table.occupants[start:stop].tolist(), table.fractions[start:stop].tolist(),
                strict=True)
        )  # fmt: skip
        document = _shared(shares)
        species[document["name"]] = document
        at_sites.append(document["name"])
    return [species[name] for name in sorted(species)], at_sites


def _pure(name: str) -> dict[str, Any]:
    return {"name": name, "chemical_symbols": [name], "concentration": [1.0]}


def _shared(shares: dict[int, float]) -> dict[str, Any]:
    symbols = [SYMBOLS[number] for number in sorted(shares)]
    concentration = [shares[number] for number in sorted(shares)]
    empty = 1.0 - float(np.sum(concentration))
    if empty > 1e-6:
        symbols, concentration = [*symbols, "vacancy"], [*concentration, empty]
    if len(symbols) == 1:
        return _pure(symbols[0])
    name = "".join(f"{s}{c:.6g}" for s, c in zip(symbols, concentration, strict=True))
    return {"name": name, "chemical_symbols": symbols, "concentration": concentration}
