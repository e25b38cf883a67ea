"""Read crystals from CIF.

Blocks with a cell, listed symmetry operations and plain element symbols, nearly all there are,
are read here; whatever is unusual is handed to pymatgen's parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.files.cells import lattice_from_parameters
from materialabs.crystals.files.cif_groups import operations_named, require_fit
from materialabs.crystals.files.cif_symmetry import (
    Operations,
    images,
    read_operations,
    shared_positions,
    sharpened,
)
from materialabs.crystals.files.cif_text import Block, parse_block, split_blocks
from materialabs.crystals.files.entries import Entry, Parsed, Refused, Shares, shares_of
from materialabs.crystals.files.opening import Source
from materialabs.elements import SYMBOLS
from materialabs.errors import FileError, one_line

_CELL: Final = (
    "_cell_length_a", "_cell_length_b", "_cell_length_c",
    "_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma",
)  # fmt: skip
_COORDINATES: Final = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
_OPERATIONS: Final = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")
_GROUP_NUMBER: Final = (
    "_space_group_it_number", "_symmetry_int_tables_number",
)  # fmt: skip
_GROUP_SYMBOL: Final = ("_symmetry_space_group_name_h-m", "_space_group_name_h-m_alt")
_GROUP_NAME: Final = (
    *_GROUP_SYMBOL, "_symmetry_space_group_name_hall", "_space_group_name_hall",
)  # fmt: skip
_UNUSUAL: Final = ("_atom_site_moment", "_space_group_symop_magn", "_space_group_magn")

_IDENTITY: Final = Operations(np.eye(3)[None], np.zeros((1, 3)))
_SYMBOL: Final = re.compile(r"([A-Z][a-z]?)(?:(\d*\.?\d*)([+-])(\d*))?")
_LABEL: Final = re.compile(r"([A-Z][a-z]?)(?![A-Za-z])")
_UNCERTAINTY: Final = re.compile(r"\(.*$")
_ELEMENTS: Final = frozenset(SYMBOLS[1:]) | {"D", "T"}

OWN_ID: Final = "_materialabs_id"
"""Tag of an id that cannot be the name of a block."""

MOST_IMAGES: Final = 20
"""Times the largest number of sites that symmetry may make before the block is refused."""


class Unusual(Exception):  # noqa: N818 - not an error: another reader takes over
    """A block that the plain reader does not understand."""


def read_cif(source: Source) -> Iterator[Parsed]:
    """Every data block of a CIF that holds atoms."""
    blocks = split_blocks(source.text())
    if not blocks:
        raise FileError("is not a CIF: no line begins with data_")
    yield from entries_of(blocks, source.stem, source.limits.sites)


def entries_of(blocks: list[str], name: str, sites: int) -> Iterator[Parsed]:
    """Read the blocks of one CIF; those without atoms are passed over unless all are.

    Parameters
    ----------
    blocks
        Text of each block.
    name
        Id of a block that has no name.
    sites
        Most sites of one crystal.
    """
    empty = 0
    for index, text in enumerate(blocks):
        place = f"block {index + 1}" if len(blocks) > 1 else ""
        try:
            block = parse_block(text)
            if block.column(*_COORDINATES) is None and block.column("_atom_site_label") is None:
                empty += 1
                continue
            entry = _entry(block, text, sites)
        except (FileError, ValueError, ArithmeticError, LookupError, TypeError) as error:
            yield Refused(place, _sentence(error))
            continue
        entry.place = place
        entry.columns.setdefault("id", block.value(OWN_ID) or block.name or name)
        yield entry
    if empty == len(blocks):
        yield Refused("", "is a CIF without atoms: it has no _atom_site_fract_x")


def _sentence(error: Exception) -> str:
    if isinstance(error, FileError):
        return str(error)
    return f"cannot be read as a CIF: {one_line(error, 200)}"


def _entry(block: Block, text: str, sites: int) -> Entry:
    try:
        return _plain_entry(block, sites)
    except Unusual:
        from materialabs.crystals.files.cif_pymatgen import entry_through_pymatgen

        entry = entry_through_pymatgen(text, _group_named(block))
        names = block.column("_atom_site_type_symbol") or block.column("_atom_site_label") or []
        heavy = sorted({match[1] for name in names if (match := _LABEL.match(name))} & {"D", "T"})
        entry.notes += [f"{symbol} is kept as H" for symbol in heavy]
        return entry


def _plain_entry(block: Block, sites: int) -> Entry:
    if any(tag.startswith(_UNUSUAL) for table in (block.items, block.loops) for tag in table):
        raise Unusual
    lattice = lattice_from_parameters(*(_cell_number(block, tag) for tag in _CELL))
    operations = _operations(block, lattice)
    require_fit(lattice, operations)
    rows = _Rows(block)
    if len(rows.coordinates) * len(operations.rotations) > MOST_IMAGES * sites:
        raise FileError(
            f"lists {len(rows.coordinates):,} atoms under {len(operations.rotations)} symmetry "
            f"operations, and at most {sites:,} sites are read: raise the limit"
        )
    if not np.isfinite(rows.coordinates).all():
        raise FileError("has an atom whose coordinates are not numbers")
    return _expanded(lattice, operations, rows)


def _cell_number(block: Block, tag: str) -> float:
    text = block.value(tag)
    if text is None:
        raise Unusual
    return number(text)


def number(text: str) -> float:
    """A number with or without its uncertainty, ``5.431(2)``."""
    try:
        return float(text if text.isascii() else "")
    except ValueError:
        pass
    try:
        return float(_UNCERTAINTY.sub("", text))
    except ValueError:
        raise FileError(f"has {text[:30]!r} where a number is needed") from None


def _operations(block: Block, lattice: list[list[float]]) -> Operations:
    texts = block.column(*_OPERATIONS)
    if texts is not None:
        return read_operations(tuple(texts))
    if not _group_named(block):
        return _IDENTITY
    found = operations_named([block.value(tag) for tag in _GROUP_SYMBOL], lattice)
    if found is None:
        raise Unusual
    return found


def _group_named(block: Block) -> str:
    """The space group that a block names by symbol or number, empty for none and for P1."""
    given = [block.value(tag) for tag in (*_GROUP_NAME, *_GROUP_NUMBER)]
    named = [name for name in given if name is not None and name not in ("?", ".")]
    return next((one for one in named if one.replace(" ", "").upper() not in ("P1", "1")), "")


class _Rows:
    """The listed atoms of a block: coordinates, elements, occupancies, labels, states."""

    def __init__(self, block: Block) -> None:
        columns = [block.column(tag) for tag in _COORDINATES]
        if any(column is None for column in columns):
            if block.column("_atom_site_cartn_x") is not None:
                raise FileError("gives Cartesian positions (_atom_site_Cartn_x), not fractions")
            raise FileError("lists atoms without fractional coordinates")
        x, y, z = (column or [] for column in columns)
        count = len(x)
        labels = block.column("_atom_site_label")
        symbols = block.column("_atom_site_type_symbol")
        shares = block.column("_atom_site_occupancy")
        for column in (y, z, labels, symbols, shares):
            if column is not None and len(column) != count:
                raise FileError("has columns of atoms that are not equally long")
        if labels is None and symbols is None:
            raise FileError("lists atoms without a symbol or a label")
        self.notes: list[str] = []
        kept = self._kept(block, x, y, z)
        self.coordinates = np.array(
            [[number(x[i]), number(y[i]), number(z[i])] for i in kept]
        ).reshape(-1, 3)
        self.occupancies = [_share(shares[i]) if shares is not None else 1.0 for i in kept]
        names = symbols if symbols is not None else (labels or [])
        self.elements, charges = self._elements([names[i] for i in kept], symbols is not None)
        self.labels = None if labels is None else [labels[i] for i in kept]
        self.states = self._states(block, [names[i] for i in kept], charges)

    def _kept(self, block: Block, x: list[str], y: list[str], z: list[str]) -> list[int]:
        """Rows with a position, without the dummy atoms of refinement programs."""
        flags = block.column("_atom_site_calc_flag")
        rows = range(len(x))
        placed = [i for i in rows if not {x[i], y[i], z[i]} & {"?", "."}]
        if len(placed) < len(x):
            self.notes.append(f"{len(x) - len(placed)} atoms without a position are left out")
        if flags is not None and len(flags) == len(x):
            placed = [i for i in placed if flags[i].lower() != "dum"]
        hydrogens = block.column("_atom_site_attached_hydrogens") or []
        if any(item not in ("0", ".", "?") for item in hydrogens):
            self.notes.append("hydrogens are attached that the file does not place")
        return placed

    def _elements(self, names: list[str], symbols: bool) -> tuple[list[str], list[float | None]]:
        elements: list[str] = []
        charges: list[float | None] = []
        for name in names:
            match = _SYMBOL.fullmatch(name) if symbols else _LABEL.match(name)
            if match is None or match[1] not in _ELEMENTS:
                raise Unusual
            if match[1] in ("D", "T"):
                self.notes.append(f"{match[1]} is kept as H")
            elements.append(match[1])
            charges.append(_charge(match) if symbols else None)
        return elements, charges

    def _states(
        self, block: Block, names: list[str], charges: list[float | None]
    ) -> list[float | None] | None:
        """Oxidation state of each row, from the table of types or the charge of its symbol."""
        types = block.column("_atom_type_symbol")
        given = block.column("_atom_type_oxidation_number")
        stated: dict[str, float] = {}
        if types is not None and given is not None:
            stated = {
                name: number(value)
                for name, value in zip(types, given, strict=False)
                if value not in ("?", ".")
            }
        states = [stated.get(name, charge) for name, charge in zip(names, charges, strict=True)]
        return states if any(state is not None for state in states) else None


def _share(text: str) -> float:
    return 1.0 if text in ("?", ".") else number(text)


def _charge(match: re.Match[str]) -> float | None:
    if match[3] is None:
        return None
    size = match[2] or match[4] or "1"
    return float(size) if match[3] == "+" else -float(size)


def _expanded(lattice: list[list[float]], operations: Operations, rows: _Rows) -> Entry:
    """Put every image of the listed atoms into the cell, sharing sites that coincide."""
    chosen = [i for i, share in enumerate(rows.occupancies) if share > 0]
    if any(share < 0 for share in rows.occupancies):
        raise FileError("has a site with an occupancy below zero")
    if not chosen:
        raise FileError("has no atoms")
    coordinates = rows.coordinates[chosen]
    if not operations.only_identity:
        coordinates = sharpened(coordinates)
    first = np.arange(len(chosen))
    if any(rows.occupancies[i] < 1 for i in chosen):
        first = shared_positions(coordinates, operations)
    sites = np.flatnonzero(first == np.arange(len(chosen)))
    fractions: dict[int, dict[str, float]] = {int(site): {} for site in sites}
    for place, owner in enumerate(first.tolist()):
        shares = fractions.setdefault(_root(first, owner), {})
        symbol = rows.elements[chosen[place]]
        shares[symbol] = shares.get(symbol, 0.0) + rows.occupancies[chosen[place]]
    if operations.only_identity:
        frac, owners = coordinates[sites], np.arange(len(sites))
    else:
        frac, owners = images(coordinates[sites], operations)
    return _entry_of_sites(lattice, frac, owners, [int(site) for site in sites], fractions, rows,
                           chosen)  # fmt: skip


def _root(first: NDArray[np.int64], site: int) -> int:
    while first[site] != site:
        site = int(first[site])
    return site


def _entry_of_sites(
    lattice: list[list[float]],
    frac: NDArray[np.float64],
    owners: NDArray[np.int64],
    sites: list[int],
    fractions: dict[int, dict[str, float]],
    rows: _Rows,
    chosen: list[int],
) -> Entry:
    listed = [chosen[site] for site in sites]
    numbers, shares = shares_of([fractions[site] for site in sites])
    site_columns: dict[str, object] = {}
    order = owners.tolist()
    if rows.labels is not None and _telling(rows, listed):
        site_columns["label"] = [rows.labels[listed[owner]] for owner in order]
    if rows.states is not None:
        site_columns["oxidation_state"] = [rows.states[listed[owner]] for owner in order]
    expanded: list[Shares] | None = None if shares is None else [shares[o] for o in order]
    return Entry(
        lattice,
        frac,
        [numbers[owner] for owner in order],
        columns={},
        site_columns=site_columns,
        shares=expanded,
        notes=rows.notes,
    )


def _telling(rows: _Rows, listed: list[int]) -> bool:
    """Labels say more than the element, or element and running number."""
    labels = rows.labels or []
    return any(
        labels[row] not in (rows.elements[row], f"{rows.elements[row]}{place}")
        for place, row in enumerate(listed)
    )
