"""Flat rows: a cell, a list of elements, coordinates, and any further fields.

The names that are understood are those of the common data sets: ``cell`` (edges and angles, or
vectors), ``lattice``, ``matrix``, ``lattice_mat``; ``species``, ``symbols``, ``elements``,
``numbers``; ``frac``, ``frac_coords``, ``cart``, ``cart_coords``, ``positions``, or ``coords``
beside a truth value ``cartesian``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import is_missing
from materialabs.crystals.files.cells import completed, fractional, lattice_of
from materialabs.crystals.files.entries import PERIODIC, Entry, numbers_of, shares_of
from materialabs.crystals.files.names import columns_from, fields_from
from materialabs.crystals.files.plain import plain, present_rows
from materialabs.elements import SYMBOLS
from materialabs.errors import FileError

CELLS: Final = ("lattice", "matrix", "cell", "lattice_mat", "lattice_matrix", "lattice_vectors")
SPECIES: Final = ("species", "symbols", "elements", "atom_types", "types")
NUMBERS: Final = ("numbers", "atomic_numbers", "atomic_number", "Z", "z")
FRACTIONAL: Final = ("frac", "frac_coords", "fractional", "scaled_positions")
CARTESIAN: Final = ("cart", "cart_coords", "cartesian_coords", "positions")
EITHER: Final = ("coords", "coordinates")
PERIODICITY: Final = ("pbc", "periodic")
OWN_SITES: Final = "sites"
OWN_SHARES: Final = "occupancy"


def is_row(document: Any) -> bool:
    """True for an object with a cell, elements and coordinates side by side."""
    return (
        isinstance(document, dict)
        and _named(document, CELLS) is not None
        and _named(document, SPECIES + NUMBERS) is not None
        and _named(document, FRACTIONAL + CARTESIAN + EITHER) is not None
    )


def _named(document: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """The first of these names whose value is a list."""
    return next((name for name in names if isinstance(document.get(name), (list, tuple))), None)


def entry_from_row(document: dict[str, Any]) -> Entry:
    """Read one flat row; the fields that are not the structure become columns."""
    fields = dict(document)
    lattice: Any = lattice_of(fields.pop(str(_named(fields, CELLS))))
    numbers = _numbers(fields)
    lattice, frac = _placed(fields, lattice)
    if len(frac) != len(numbers):
        raise FileError(f"has {len(frac)} positions for {len(numbers)} atoms")
    name = _named(fields, PERIODICITY)
    pbc = PERIODIC if name is None else tuple(bool(one) for one in fields.pop(name))
    site_columns = fields.pop(OWN_SITES, None)
    shares = None
    occupancy = fields.get(OWN_SHARES)
    if isinstance(occupancy, list) and all(isinstance(site, dict) for site in occupancy):
        numbers, shares = shares_of(fields.pop(OWN_SHARES))
    notes: list[str] = []
    if not isinstance(site_columns, dict):
        if site_columns is not None:
            fields[OWN_SITES] = site_columns
        site_columns = {}
    return Entry(
        lattice,
        frac,
        numbers,
        pbc,
        columns=columns_from(fields, notes),
        site_columns=dict(site_columns),
        shares=shares,
        notes=notes,
    )


def _numbers(fields: dict[str, Any]) -> list[int]:
    count = next(
        len(fields[name])
        for name in FRACTIONAL + CARTESIAN + EITHER
        if isinstance(fields.get(name), (list, tuple))
    )
    numbers = _named(fields, NUMBERS)
    if numbers is not None and len(fields[numbers]) == count:
        return [int(number) for number in fields.pop(numbers)]
    for name in SPECIES:
        values = fields.get(name)
        if isinstance(values, (list, tuple)) and len(values) == count:
            fields.pop(name)
            if all(isinstance(value, int) for value in values):
                return list(values)
            return numbers_of(values)
    found = len(fields[str(_named(fields, SPECIES + NUMBERS))])
    raise FileError(f"has {count} positions for {found} atoms")


def _placed(fields: dict[str, Any], lattice: Any) -> tuple[Any, NDArray[np.float64]]:
    """The cell and fractional coordinates, from whatever kind of coordinates there is."""
    given = _named(fields, FRACTIONAL)
    if given is not None:
        return lattice, np.asarray(fields.pop(given), dtype=float)
    name = _named(fields, CARTESIAN) or ""
    if not name:
        name = str(_named(fields, EITHER))
        cartesian = fields.pop("cartesian", None)
        if not isinstance(cartesian, bool):
            raise FileError(
                f"does not say whether {name!r} are fractional or Cartesian: name them frac or cart"
            )
        if not cartesian:
            return lattice, np.asarray(fields.pop(name), dtype=float)
    cell, positions = completed(
        np.asarray(lattice, dtype=float), np.asarray(fields.pop(name), dtype=float).reshape(-1, 3)
    )
    return cell, fractional(cell, positions)


def rows_of(crystals: Crystals) -> Iterator[dict[str, Any]]:
    """A flat row for each crystal: ``lattice``, ``species``, ``frac`` and all columns."""
    for index in range(len(crystals)):
        start, stop = int(crystals.offsets[index]), int(crystals.offsets[index + 1])
        columns = {name: plain(value) for name, value in crystals.columns.row(index).items()}
        row: dict[str, Any] = {"id": columns.pop("id")} if "id" in columns else {}
        row["lattice"] = crystals.lattice[index].tolist()
        row["species"] = [SYMBOLS[number] for number in crystals.numbers[start:stop].tolist()]
        row["frac"] = crystals.frac[start:stop].tolist()
        if not crystals.pbc[index].all():
            row["pbc"] = crystals.pbc[index].tolist()
        shares = _shares(crystals, start, stop)
        if shares is not None:
            row[OWN_SHARES] = shares
        sites = {
            name: present_rows(column[start:stop])
            for name, column in crystals.site_columns.items()
            if not is_missing(column[start:stop]).all()
        }
        if sites:
            row[OWN_SITES] = sites
        taken = set(row)
        row |= {n: v for n, v in fields_from(columns).items() if n not in taken}
        yield row


def _shares(crystals: Crystals, start: int, stop: int) -> list[dict[str, float]] | None:
    table = crystals.occupancy
    if table is None:
        return None
    bounds = table.offsets[start : stop + 1].tolist()
    return [
        {
            SYMBOLS[number]: share
            for number, share in zip(
                table.occupants[a:b].tolist(), table.fractions[a:b].tolist(), strict=True
            )
        }
        for a, b in pairwise(bounds)
    ]
