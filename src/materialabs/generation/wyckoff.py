"""The Wyckoff positions of the 230 space groups, in their standard settings.

The table ``wyckoff.json.gz`` is derived, not copied (``scripts/make_wyckoff_table.py``); the
settings are those of moyopy and spglib by default: unique axis b, cell choice 1, hexagonal axes
for rhombohedral groups, origin at the inversion centre.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.errors import InputError

GROUPS: Final = 230
"""Number of space-group types."""

TABLE_DENOMINATOR: Final = 24
"""Translations and special coordinates stand in the table as whole multiples of 1/24."""

TRICLINIC, MONOCLINIC, ORTHORHOMBIC, TETRAGONAL, HEXAGONAL, CUBIC = range(6)
"""Codes of the crystal families; trigonal groups are hexagonal here."""

FAMILIES: Final = (
    "triclinic",
    "monoclinic",
    "orthorhombic",
    "tetragonal",
    "hexagonal",
    "cubic",
)
"""Crystal families by code."""


@dataclass(frozen=True, eq=False)
class WyckoffPosition:
    """A set of equivalent places: ``origin + parameters @ directions`` and its images.

    Parameters
    ----------
    letter
        Wyckoff letter; the 27th, of Pmmm, is ``A``.
    multiplicity, primitive_multiplicity
        Atoms in the conventional cell and in the primitive one.
    site_symmetry
        Oriented symbol of the symmetry that every such place has.
    origin
        float64 [3], in conventional fractional coordinates.
    directions
        float64 [k, 3], what each of the k free parameters moves.
    orbit
        int64 [primitive_multiplicity], the operations of the group that make the orbit, up to
        the centring; the first is the identity.
    """

    letter: str
    multiplicity: int
    primitive_multiplicity: int
    site_symmetry: str
    origin: NDArray[np.float64]
    directions: NDArray[np.float64]
    orbit: NDArray[np.int64]

    @property
    def freedom(self) -> int:
        """Number of free parameters, 0 to 3."""
        return len(self.directions)


@dataclass(frozen=True, eq=False)
class SpaceGroup:
    """A space group in its standard setting.

    Parameters
    ----------
    number
        1 to 230.
    symbol
        Short Hermann-Mauguin symbol without blanks.
    family
        One of :data:`FAMILIES`.
    centring
        P, A, C, I, F or R (hexagonal axes).
    rotations, translations
        float64 [h, 3, 3] and [h, 3], one operation for each element of the point group; they
        act on conventional fractional column vectors; the identity comes first.
    primitive_rows
        float64 [3, 3], primitive cell vectors in terms of the conventional ones.
    positions
        By letter.
    """

    number: int
    symbol: str
    family: str
    centring: str
    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]
    primitive_rows: NDArray[np.float64]
    positions: tuple[WyckoffPosition, ...]

    def position(self, letter: str) -> WyckoffPosition:
        """The position with this letter."""
        for position in self.positions:
            if position.letter == letter:
                return position
        letters = ", ".join(position.letter for position in self.positions)
        raise InputError(f"{self.symbol} has the Wyckoff positions {letters}; not {letter!r}.")

    def places(self, letter: str, parameters: ArrayLike = ()) -> NDArray[np.float64]:
        """All places of a Wyckoff position in the primitive cell, conventional coordinates.

        Parameters
        ----------
        letter
            The position.
        parameters
            One number for each free parameter.

        Returns
        -------
        NDArray[np.float64]
            [primitive_multiplicity, 3], conventional fractional coordinates, not wrapped.
        """
        position = self.position(letter)
        values = np.asarray(parameters, dtype=np.float64).reshape(-1)
        if len(values) != position.freedom:
            raise InputError(
                f"Position {letter} of {self.symbol} takes {position.freedom} parameters; "
                f"{len(values)} were given."
            )
        point = position.origin + values @ position.directions
        turned = self.rotations[position.orbit] @ point
        return np.asarray(turned + self.translations[position.orbit])


@lru_cache(maxsize=1)
def _document() -> dict[str, Any]:
    packed = resources.files("materialabs.generation").joinpath("wyckoff.json.gz").read_bytes()
    document: dict[str, Any] = json.loads(gzip.decompress(packed))
    return document


def checked_group(number: int) -> int:
    """A space-group number, refused when it is none."""
    if (
        isinstance(number, bool)
        or not isinstance(number, (int, np.integer))
        or not 1 <= number <= GROUPS
    ):
        raise InputError(
            f"Space groups are numbered from 1 to {GROUPS}; {number!r} was given.",
            code="space_group.unknown",
        )
    return int(number)


@lru_cache(maxsize=GROUPS)
def space_group(number: int) -> SpaceGroup:
    """The space group of this number, with its operations and Wyckoff positions."""
    row = _document()["groups"][checked_group(number) - 1]
    primitive = _in_parts(_document()["primitive_rows"][row["centring"]])
    operations = np.array(row["operations"], dtype=np.float64)
    cells = round(1.0 / float(np.linalg.det(primitive)))
    return SpaceGroup(
        row["number"],
        row["symbol"],
        row["family"],
        row["centring"],
        operations[:, :9].reshape(-1, 3, 3),
        _in_parts(operations[:, 9:]),
        primitive,
        tuple(_position(position, cells) for position in row["positions"]),
    )


def _position(row: dict[str, Any], cells: int) -> WyckoffPosition:
    return WyckoffPosition(
        row["letter"],
        len(row["orbit"]) * cells,
        len(row["orbit"]),
        row["site_symmetry"],
        _in_parts(row["origin"]),
        np.array(row["directions"], dtype=np.float64).reshape(-1, 3),
        np.array(row["orbit"], dtype=np.int64),
    )


def _in_parts(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64) / TABLE_DENOMINATOR


class GroupArrays(NamedTuple):
    """All groups as flat arrays on their primitive bases, for the kernels.

    Group g (number g + 1) owns operations ``operation_starts[g]:operation_starts[g+1]`` and
    positions ``position_starts[g]:position_starts[g+1]``; position w is made by the operations
    ``orbits[orbit_starts[w]:orbit_starts[w+1]]``, counted inside its group.
    """

    family: NDArray[np.int64]
    primitive_rows: NDArray[np.float64]
    operation_starts: NDArray[np.int64]
    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]
    position_starts: NDArray[np.int64]
    freedom: NDArray[np.int64]
    origins: NDArray[np.float64]
    directions: NDArray[np.float64]
    orbit_starts: NDArray[np.int64]
    orbits: NDArray[np.int64]


@lru_cache(maxsize=1)
def group_arrays() -> GroupArrays:
    """The whole table for the kernels, built once."""
    groups = [space_group(number) for number in range(1, GROUPS + 1)]
    to_primitive = [np.linalg.inv(group.primitive_rows.T) for group in groups]
    positions = [position for group in groups for position in group.positions]
    basis = [
        change for change, group in zip(to_primitive, groups, strict=True) for _ in group.positions
    ]
    directions = np.zeros((len(positions), 3, 3))
    for row, (position, change) in enumerate(zip(positions, basis, strict=True)):
        directions[row, : position.freedom] = position.directions @ change.T
    return GroupArrays(
        np.array([FAMILIES.index(group.family) for group in groups]),
        np.array([group.primitive_rows for group in groups]),
        _starts([len(group.rotations) for group in groups]),
        np.concatenate(
            [
                np.rint(change @ group.rotations @ group.primitive_rows.T)
                for change, group in zip(to_primitive, groups, strict=True)
            ]
        ),
        np.concatenate(
            [
                group.translations @ change.T
                for change, group in zip(to_primitive, groups, strict=True)
            ]
        ),
        _starts([len(group.positions) for group in groups]),
        np.array([position.freedom for position in positions]),
        np.array(
            [change @ position.origin for position, change in zip(positions, basis, strict=True)]
        ),
        directions,
        _starts([len(position.orbit) for position in positions]),
        np.concatenate([position.orbit for position in positions]),
    )


def _starts(sizes: list[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
