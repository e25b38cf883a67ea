"""One crystal as a parser finds it, and the step from many of them to a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import (
    CRYSTAL_COLUMNS,
    SITE_COLUMNS,
    ColumnKind,
    Columns,
    is_missing,
)
from materialabs.crystals.files.limits import Limits
from materialabs.crystals.occupancy import Occupancy
from materialabs.crystals.validate import check_arrays
from materialabs.elements import NUMBER_OF
from materialabs.errors import FileError, one_line

Shares = dict[int, float]
"""Atomic number to occupied fraction."""

PERIODIC = (True, True, True)

_NUMBERS = NUMBER_OF | {"D": 1, "T": 1}

OVERFULL = 1.01
"""Fractions of a site that sum to at most this were rounded in print and are scaled to one."""


@dataclass
class Entry:
    """One crystal, not yet checked.

    Parameters
    ----------
    lattice
        [3, 3], rows are vectors, angstrom.
    frac
        [m, 3].
    numbers
        [m], atomic numbers.
    pbc
        Periodic or not along each vector.
    columns, site_columns
        Values by name; a site column has m rows.
    shares
        Occupants of each site where one is shared or partly empty.
    place
        Where in the file.
    notes
        What a reader should know.
    """

    lattice: ArrayLike
    frac: ArrayLike
    numbers: Sequence[int]
    pbc: Sequence[bool] = PERIODIC
    columns: dict[str, Any] = field(default_factory=dict)
    site_columns: dict[str, Any] = field(default_factory=dict)
    shares: list[Shares] | None = None
    place: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Refused:
    """An entry that a parser could not make a crystal of."""

    place: str
    reason: str

    @classmethod
    def because(cls, place: str, error: Exception) -> Refused:
        """What a parser stumbled on; our own sentences stand alone."""
        ours = isinstance(error, FileError)
        return cls(place, str(error) if ours else f"cannot be read: {one_line(error)}")


UNREADABLE: Final = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
"""What damaged numbers and texts raise in a parser; a FileError is among them."""

Parsed = Entry | Refused


def numbers_of(symbols: Iterable[Any]) -> list[int]:
    """Atomic numbers of element symbols; a deuterium is a hydrogen.

    Raises
    ------
    FileError
        Naming the first that is no element.
    """
    try:
        return [_NUMBERS[symbol] for symbol in symbols]
    except (KeyError, TypeError) as error:
        unknown = error.args[0] if isinstance(error, KeyError) else "a list"
        raise FileError(
            f"names {unknown!r}, which is not the symbol of an element",
            code="file.unknown_element",
        ) from None


def shares_of(fractions: Sequence[dict[str, float]]) -> tuple[list[int], list[Shares] | None]:
    """Element of the largest fraction of each site, and all shares where one is partial."""
    table: list[Shares] = []
    for site in fractions:
        shares: Shares = {}
        for symbol, share in site.items():
            (number,) = numbers_of([symbol])
            if not float(share) >= 0:
                raise FileError(f"has a site with an occupancy of {share}")
            if share > 0:
                shares[number] = shares.get(number, 0.0) + float(share)
        if not shares:
            raise FileError("has a site that nobody occupies")
        table.append(_within_one(shares))
    numbers = [max(shares, key=lambda number: (shares[number], -number)) for shares in table]
    if all(len(shares) == 1 and abs(sum(shares.values()) - 1.0) < 1e-6 for shares in table):
        return numbers, None
    return numbers, table


def _within_one(shares: Shares) -> Shares:
    total = sum(shares.values())
    if total > OVERFULL:
        raise FileError(f"has a site whose occupancies sum to {total:.4g}, above one")
    if total > 1.0 + 1e-9:
        return {number: share / total for number, share in shares.items()}
    return shares


def assemble(
    entries: Sequence[Entry], limits: Limits
) -> tuple[Crystals, list[int], list[tuple[int, str]]]:
    """Check entries and make one batch of the sound ones.

    Returns
    -------
    The batch, the positions of the entries in it, and (position, reason) of the refused ones.
    """
    shaped, reasons = _shaped(entries)
    sound = [index for index, reason in enumerate(reasons) if reason is None]
    found = check_arrays(
        np.array([shaped[index][0] for index in sound]).reshape(-1, 3, 3),
        np.concatenate([np.zeros((0, 3)), *(shaped[index][1] for index in sound)]),
        np.concatenate([np.zeros(0, np.int64), *(shaped[index][2] for index in sound)]),
        np.concatenate([[0], np.cumsum([len(shaped[index][1]) for index in sound])]),
        np.array([tuple(entries[index].pbc) for index in sound]).reshape(-1, 3),
        share=_site_shares([entries[index] for index in sound]),
        limits=limits,
    )
    for index, reason in zip(sound, found, strict=True):
        reasons[index] = reason
    kept = [index for index, reason in enumerate(reasons) if reason is None]
    refused = [(index, reason) for index, reason in enumerate(reasons) if reason is not None]
    return _batch([entries[index] for index in kept], [shaped[i] for i in kept]), kept, refused


_Arrays = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


def _shaped(entries: Sequence[Entry]) -> tuple[list[_Arrays], list[str | None]]:
    """The arrays of each entry, and a reason where they have not the right shape."""
    blank = (np.eye(3), np.zeros((0, 3)), np.zeros(0, np.int64))
    shaped: list[_Arrays] = []
    reasons: list[str | None] = []
    for entry in entries:
        try:
            lattice = np.asarray(entry.lattice, dtype=np.float64)
            frac = np.asarray(entry.frac, dtype=np.float64).reshape(-1, 3)
            numbers = np.asarray(entry.numbers, dtype=np.int64).reshape(-1)
            reason = None
            if lattice.shape != (3, 3):
                reason = "has a cell that is not three vectors"
            elif len(frac) != len(numbers):
                reason = f"has {len(frac)} positions for {len(numbers)} atoms"
            elif len(entry.pbc) != 3:
                reason = "has a periodicity that is not three truth values"
        except (ValueError, TypeError, OverflowError):
            reason = "has a cell, positions or atoms that are not numbers"
        reasons.append(reason)
        shaped.append((lattice, frac, numbers) if reason is None else blank)
    return shaped, reasons


def _site_shares(entries: Sequence[Entry]) -> NDArray[np.float64]:
    parts = [
        np.ones(len(entry.numbers))
        if entry.shares is None
        else np.array([sum(shares.values()) for shares in entry.shares])
        for entry in entries
    ]
    return np.concatenate([np.zeros(0), *parts])


def _batch(entries: Sequence[Entry], arrays: Sequence[_Arrays]) -> Crystals:
    if not entries:
        return Crystals.empty()
    return Crystals(
        np.array([lattice for lattice, _, _ in arrays]),
        np.concatenate([frac for _, frac, _ in arrays]),
        np.concatenate([numbers for _, _, numbers in arrays]).astype(np.uint8),
        np.concatenate([[0], np.cumsum([len(frac) for _, frac, _ in arrays])]),
        np.array([tuple(entry.pbc) for entry in entries], dtype=bool),
        _crystal_table(entries),
        _site_table(entries),
        _occupancy(entries),
    )


def _crystal_table(entries: Sequence[Entry]) -> Columns:
    names = dict.fromkeys(name for entry in entries for name in entry.columns)
    table = {}
    for name in names:
        values = [entry.columns.get(name) for entry in entries]
        if any(value is not None for value in values):
            table[name] = _registered(values, CRYSTAL_COLUMNS.get(name))
    return Columns(len(entries), table)


def _registered(values: list[Any], kind: ColumnKind | None) -> Any:
    """Bring values to the dtype of a registered column where they are of that kind."""
    if kind is None:
        return values
    if kind.dtype == "text":
        return [None if value is None else str(value) for value in values]
    if kind.dtype == "float":
        try:
            return np.array(
                [np.full(kind.shape, np.nan) if value is None else value for value in values],
                dtype=np.float64,
            )
        except (ValueError, TypeError):
            return values
    return values


def _site_table(entries: Sequence[Entry]) -> Columns:
    if not any(entry.site_columns for entry in entries):
        return Columns(sum(len(entry.numbers) for entry in entries))
    tables = []
    for entry in entries:
        count = len(entry.numbers)
        table = Columns(
            count,
            {
                name: _registered_sites(values, SITE_COLUMNS.get(name))
                for name, values in entry.site_columns.items()
                if _one_for_each(values, count)
            },
        )
        tables.append(
            Columns(count, {name: c for name, c in table.items() if not is_missing(c).all()})
        )
    return Columns.concat(tables)


def _one_for_each(values: Any, count: int) -> bool:
    """Whether there is a value for each site; a damaged file may hold one number for all."""
    if isinstance(values, np.ndarray):
        return values.ndim > 0 and len(values) == count
    listed = isinstance(values, Sized) and not isinstance(values, (str, bytes, Mapping))
    return listed and len(values) == count


def _registered_sites(values: Any, kind: ColumnKind | None) -> Any:
    if isinstance(values, np.ndarray):
        if values.dtype.kind in "iu" and kind is not None and kind.dtype == "float":
            return values.astype(np.float64)
        return values
    return _registered(list(values), kind)


def _occupancy(entries: Sequence[Entry]) -> Occupancy | None:
    if all(entry.shares is None for entry in entries):
        return None
    sites = [
        shares
        for entry in entries
        for shares in (
            entry.shares
            if entry.shares is not None
            else [{int(number): 1.0} for number in entry.numbers]
        )
    ]
    return Occupancy(
        np.concatenate([[0], np.cumsum([len(shares) for shares in sites])]).astype(np.int64),
        np.array([number for shares in sites for number in shares], dtype=np.uint8),
        np.array([share for shares in sites for share in shares.values()]),
    )
