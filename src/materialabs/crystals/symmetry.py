"""Space groups, Wyckoff letters, orbits and standard cells over a batch, through moyo."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.errors import InputError

TOLERANCE: Final = 0.01
"""Angstrom within which atoms count as equivalent by default (spglib's symprec)."""

TIGHTER: Final = (1.0, 0.1, 0.01)
"""Factors on the tolerance that are tried in turn until a symmetry is found."""

PERIODS: Final = 25.0
"""The search begins at most at the shortest period of the lattice divided by this.

Moyo compares ever more lattice vectors as the tolerance nears a period and may not come back
(seen from an eighteenth on); the same happens where a period is short beside the square root of
twice the longest one times the tolerance, by which a long vector changes length unseen.
"""

FRACTION_DIGITS: Final = 3
"""Partial occupancies that agree to this many digits make the same kind of site."""

GROUPS: Final = 230

REMARKING: Final = ("moyo", "moyo.symmetrize.symmetrization")
"""Loggers of moyo whose remarks are dropped; a filter does not reach below its own logger."""


@dataclass(frozen=True, eq=False)
class Symmetry:
    """What was found for each crystal of a batch and each of its atoms.

    Parameters
    ----------
    number
        int16 [n], space-group number; 0 where none was found.
    hall_number
        int16 [n], setting among the 530 Hall symbols; 0 where none was found.
    pearson
        [n], Pearson symbol such as ``"cF8"``, as AFLOW writes it: side-centred cells are C, and
        rhombohedral crystals count the atoms of the rhombohedral cell; empty where none was found.
    tolerance
        float64 [n], angstrom, the tolerance that the answer holds for; NaN where none was found.
    reason
        [n], why no symmetry was found; ``None`` where it was.
    wyckoff
        [N], Wyckoff letter of each atom (``"A"`` follows ``"z"``); empty where none was found.
    site_symmetry
        [N], site-symmetry symbol of each atom, oriented to the standard cell.
    orbits
        int64 [N], the first atom of the batch that each atom is equivalent to, by the symmetry
        of the crystal as an infinite pattern: atoms that a translation inside a supercell joins
        are one orbit, also where the supercell's shape breaks some of the rotations. An atom of
        a crystal without a symmetry found is alone in its orbit.
    offsets
        int64 [n+1]; crystal i owns atoms ``offsets[i]:offsets[i+1]``.
    """

    number: NDArray[np.int16]
    hall_number: NDArray[np.int16]
    pearson: NDArray[np.str_]
    tolerance: NDArray[np.float64]
    reason: list[str | None]
    wyckoff: NDArray[np.str_]
    site_symmetry: NDArray[np.str_]
    orbits: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.number)

    def found(self) -> NDArray[np.bool_]:
        """True where a symmetry was found [n]."""
        return np.asarray(self.number > 0)

    def symbols(self) -> list[str]:
        """Short Hermann-Mauguin symbols such as ``"Fm-3m"``; empty where none was found."""
        table = [symbol for symbol, _ in _groups()]
        return [table[number] for number in self.number]

    def crystal_systems(self) -> list[str]:
        """Crystal systems, triclinic to cubic; empty where none was found."""
        table = [system for _, system in _groups()]
        return [table[number] for number in self.number]


@dataclass(frozen=True, eq=False)
class Operations:
    """Symmetry operations x -> R x + t on fractional coordinates, ragged over a batch.

    Parameters
    ----------
    rotations
        int8 [M, 3, 3], acting on columns of fractional coordinates.
    translations
        float64 [M, 3], fractional.
    offsets
        int64 [n+1]; crystal i has the operations ``offsets[i]:offsets[i+1]``.
    """

    rotations: NDArray[np.int8]
    translations: NDArray[np.float64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def of(self, index: int) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
        """Rotations [m, 3, 3] and translations [m, 3] of one crystal."""
        chosen = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return self.rotations[chosen], self.translations[chosen]


def symmetry(crystals: Crystals, tolerance: float = TOLERANCE) -> Symmetry:
    """Find the space group of every crystal, and the Wyckoff letter and orbit of every atom.

    Where the search fails at the tolerance it is repeated at a tenth and a hundredth of it; for a
    lattice with a very short or a very long period it begins lower. What still fails, and what
    is not periodic in three directions, gets number 0 and a reason. Sites of the same partial
    occupancy count as one species. Magnetic moments are not looked at.

    Parameters
    ----------
    crystals
        The batch.
    tolerance
        Angstrom; atoms closer than this to their image under an operation are equivalent.
    """
    count, atoms = len(crystals), len(crystals.frac)
    number, hall = np.zeros(count, np.int16), np.zeros(count, np.int16)
    pearson, used = np.zeros(count, "U8"), np.full(count, np.nan)
    reasons: list[str | None] = [None] * count
    wyckoff, site_symmetry = np.zeros(atoms, "U1"), np.zeros(atoms, "U16")
    orbits = np.arange(atoms, dtype=np.int64)
    for index, dataset in _datasets(crystals, tolerance):
        if isinstance(dataset, str):
            reasons[index] = dataset
            continue
        start, stop = crystals.offsets[index], crystals.offsets[index + 1]
        number[index], hall[index] = dataset.number, dataset.hall_number
        pearson[index], used[index] = _pearson(dataset.pearson_symbol), dataset.symprec
        wyckoff[start:stop] = dataset.wyckoffs
        site_symmetry[start:stop] = dataset.site_symmetry_symbols
        orbits[start:stop] = start + np.array(dataset.orbits)
    return Symmetry(
        number, hall, pearson, used, reasons, wyckoff, site_symmetry, orbits, crystals.offsets
    )


def operations(crystals: Crystals, tolerance: float = TOLERANCE) -> Operations:
    """The symmetry operations that map each crystal's own cell onto itself.

    A supercell has those of the crystal's operations that keep its cell, translations inside it
    included; where no symmetry is found only the identity is given. Arguments are those of
    :func:`symmetry`.
    """
    rotations: list[Any] = []
    translations: list[Any] = []
    offsets = np.zeros(len(crystals) + 1, np.int64)
    for index, dataset in _datasets(crystals, tolerance):
        if isinstance(dataset, str):
            rotations.append(np.eye(3, dtype=np.int8)[None])
            translations.append(np.zeros((1, 3)))
        else:
            rotations.append(np.array(dataset.operations.rotations, dtype=np.int8))
            translations.append(np.array(dataset.operations.translations))
        offsets[index + 1] = offsets[index] + len(rotations[-1])
    if not rotations:
        return Operations(np.zeros((0, 3, 3), np.int8), np.zeros((0, 3)), offsets)
    return Operations(np.concatenate(rotations), np.concatenate(translations), offsets)


def primitive(crystals: Crystals, tolerance: float = TOLERANCE) -> Crystals:
    """Each crystal in its primitive standard cell, symmetrised, orientation in space kept.

    Crystal columns stay (the cell's charge and moment are scaled with its size); an atom takes
    the site columns of the first given atom that it stands for. Crystals without a symmetry found
    stay as they are. Arguments are those of :func:`symmetry`.
    """
    return _standardized(crystals, tolerance, _primitive_cell)


def conventional(crystals: Crystals, tolerance: float = TOLERANCE) -> Crystals:
    """Each crystal in its conventional standard cell, symmetrised, orientation in space kept.

    Columns and failures as in :func:`primitive`.
    """
    return _standardized(crystals, tolerance, _conventional_cell)


def refined(crystals: Crystals, tolerance: float = TOLERANCE) -> Crystals:
    """Each crystal in its own cell and order of atoms, moved onto exact symmetry.

    Columns and failures as in :func:`primitive`.
    """
    return _standardized(crystals, tolerance, _refined_cell)


# -- the search -----------------------------------------------------------------------------------


def _datasets(crystals: Crystals, tolerance: float) -> Iterator[tuple[int, Any]]:
    """Each crystal's position and moyo's dataset, or the reason why there is none."""
    if not 0 < tolerance < np.inf:
        raise InputError(f"The symmetry tolerance is a length above zero, not {tolerance}.")
    kinds, safe = _site_kinds(crystals), _safe_tolerances(crystals.lattice, tolerance)
    periodic = np.asarray(crystals.pbc.all(axis=1), dtype=bool)
    for index in range(len(crystals)):
        start, stop = int(crystals.offsets[index]), int(crystals.offsets[index + 1])
        if start == stop:
            yield index, "It has no atoms."
        elif not periodic[index]:
            yield index, "It is not periodic in three directions, so it has no space group."
        else:
            chosen = slice(start, stop)
            yield (
                index,
                _search(crystals.lattice[index], crystals.frac[chosen], kinds[chosen], safe[index]),
            )


def _safe_tolerances(lattice: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """The tolerance, lowered for lattices with a period that is short beside it [n]."""
    from moyopy import minkowski_reduce

    safe = np.full(len(lattice), tolerance)
    lowest = (1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=1)).min(axis=1)
    longest = np.linalg.norm(lattice, axis=2).max(axis=1)
    doubtful = (lowest < PERIODS * tolerance) | (lowest**2 < 2 * longest * tolerance)
    for index in np.flatnonzero(doubtful):
        basis, _ = minkowski_reduce(lattice[index].tolist())
        periods = np.linalg.norm(np.array(basis), axis=1)
        short, long = float(periods.min()), float(periods.max())
        safe[index] = min(tolerance, short / PERIODS, short**2 / (2 * long))
    return safe


def _search(
    lattice: NDArray[np.float64],
    frac: NDArray[np.float64],
    kinds: NDArray[np.int64],
    tolerance: float,
) -> Any:
    from moyopy import Cell, MoyoDataset

    cell = Cell(lattice.tolist(), frac.tolist(), kinds.tolist())
    for factor in TIGHTER:
        try:
            with _without_remarks():
                return MoyoDataset(cell, symprec=tolerance * factor, rotate_basis=False)
        except BaseException as error:
            if not _is_of_moyo(error):
                raise
            message = str(error)
    return (
        f"No symmetry was found at {tolerance:g} angstrom nor at a hundredth of it "
        f"({message}): look for atoms that lie on one another."
    )


def _pearson(symbol: str) -> str:
    """Moyo's symbol (oS, hR of the hexagonal cell) as AFLOW writes it."""
    family, atoms = symbol[:2], int(symbol[2:])
    return f"{family}{atoms // 3}" if family == "hR" else f"{family.replace('S', 'C')}{atoms}"


def _is_of_moyo(error: BaseException) -> bool:
    """Moyo's refusals, and its panics, which derive from no ordinary exception."""
    return isinstance(error, ValueError) or type(error).__name__ == "PanicException"


def _site_kinds(crystals: Crystals) -> NDArray[np.int64]:
    """A number for each atom, equal where element or partial occupancy are [N]."""
    kinds = crystals.numbers.astype(np.int64)
    table = crystals.occupancy
    if table is None:
        return kinds
    mixed: dict[tuple[tuple[int, float], ...], int] = {}
    for site in np.flatnonzero(table.partial()):
        shares = slice(table.offsets[site], table.offsets[site + 1])
        fractions = np.round(table.fractions[shares], FRACTION_DIGITS).tolist()
        key = tuple(sorted(zip(table.occupants[shares].tolist(), fractions, strict=True)))
        kinds[site] = mixed.setdefault(key, 256 + len(mixed))
    return kinds


class _RemarkFilter(logging.Filter):
    """Drops moyo's remarks that our docstrings make.

    A supercell keeps fewer operations, and atoms move as far as the tolerance allows.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(("Omitted ", "Large displacement "))


@contextmanager
def _without_remarks() -> Iterator[None]:
    loggers, quiet = [logging.getLogger(name) for name in REMARKING], _RemarkFilter()
    for logger in loggers:
        logger.addFilter(quiet)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(quiet)


@lru_cache(maxsize=1)
def _groups() -> list[tuple[str, str]]:
    """Symbol and crystal system by space-group number; row 0 is empty."""
    from moyopy import SpaceGroupType

    types = [SpaceGroupType(number) for number in range(1, GROUPS + 1)]
    named = [(kind.hm_short.replace(" ", ""), str(kind.crystal_system).lower()) for kind in types]
    return [("", ""), *named]


# -- standard cells -------------------------------------------------------------------------------

_Cell = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]
"""Lattice [3,3], fractional coordinates [m,3], and the given atom that each one stands for."""


def _standardized(crystals: Crystals, tolerance: float, make: Any) -> Crystals:
    """The batch with each found crystal's cell replaced by what ``make`` gives of its dataset."""
    lattices, fracs, sources = crystals.lattice.copy(), [], []
    for index, dataset in _datasets(crystals, tolerance):
        start, stop = int(crystals.offsets[index]), int(crystals.offsets[index + 1])
        frac, source = crystals.frac[start:stop], np.arange(stop - start)
        if not isinstance(dataset, str):
            lattices[index], frac, source = make(dataset, crystals.lattice[index], frac)
        fracs.append(frac)
        sources.append(start + source)
    if not len(crystals):
        return crystals
    atoms = np.concatenate(sources)
    offsets = np.concatenate([[0], np.cumsum([len(source) for source in sources])])
    scale = np.diff(offsets) / np.maximum(crystals.counts, 1)
    extensive = {
        name: crystals.columns[name] * scale
        for name in ("charge", "magnetization")
        if name in crystals.columns
    }
    return Crystals(
        lattices,
        np.concatenate(fracs),
        crystals.numbers[atoms],
        offsets,
        crystals.pbc,
        crystals.columns.with_columns(**extensive),
        crystals.site_columns.take(atoms),
        None if crystals.occupancy is None else crystals.occupancy.take(atoms),
    )


def _primitive_cell(dataset: Any, lattice: NDArray[np.float64], frac: NDArray[np.float64]) -> _Cell:
    cell = dataset.prim_std_cell
    return np.array(cell.basis), np.array(cell.positions), _first_of_each(dataset)


def _conventional_cell(
    dataset: Any, lattice: NDArray[np.float64], frac: NDArray[np.float64]
) -> _Cell:
    """Moyo lists the centring copies of each primitive atom one after the other."""
    cell, first = dataset.std_cell, _first_of_each(dataset)
    copies = len(cell.positions) // len(first)
    return np.array(cell.basis), np.array(cell.positions), np.repeat(first, copies)


def _refined_cell(dataset: Any, lattice: NDArray[np.float64], frac: NDArray[np.float64]) -> _Cell:
    """Carry the symmetrised primitive cell back into the given basis."""
    linear, shift = np.array(dataset.prim_std_linear), np.array(dataset.prim_std_origin_shift)
    inverse = np.linalg.inv(linear)
    standard = np.array(dataset.prim_std_cell.positions)[dataset.mapping_std_prim]
    given = (frac - shift) @ inverse.T
    nearest = standard + np.rint(given - standard)
    basis = inverse.T @ np.array(dataset.prim_std_cell.basis)
    return basis, nearest @ linear.T + shift, np.arange(len(frac))


def _first_of_each(dataset: Any) -> NDArray[np.int64]:
    """The first given atom that maps to each atom of the primitive cell."""
    return np.unique(np.array(dataset.mapping_std_prim), return_index=True)[1].astype(np.int64)
