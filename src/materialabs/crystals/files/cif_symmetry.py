"""Symmetry operations of a CIF, and the atoms that they make of the listed ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import FileError

SAME_SITE: Final = 1e-4
"""Fractional; images closer than this along every axis are one atom (as in pymatgen)."""

SIMPLE_FRACTIONS: Final = np.array([1 / 3, 2 / 3])
"""Coordinates that print has cut to a few digits; special positions need them exactly."""

_TERM: Final = re.compile(r"([+-]?)(?:(\d+(?:\.\d*)?|\.\d+)(?:/(\d+))?\*?)?([xyz]?)")

LARGEST_WORK: Final = 4_000_000
"""Pairs of images compared at a time."""


@dataclass(frozen=True)
class Operations:
    """Symmetry operations x -> R x + t.

    Parameters
    ----------
    rotations
        float64 [p, 3, 3].
    translations
        float64 [p, 3].
    """

    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]

    @property
    def only_identity(self) -> bool:
        """True when no image differs from its atom."""
        return (
            len(self.rotations) == 1
            and np.array_equal(self.rotations[0], np.eye(3))
            and not self.translations.any()
        )


def read_operations(texts: tuple[str, ...]) -> Operations:
    """Read operations written as ``-x+1/2, y, -z``."""
    parts = [_read_operation(text) for text in texts]
    return Operations(np.array([part[0] for part in parts]), np.array([part[1] for part in parts]))


@lru_cache(maxsize=4096)
def _read_operation(text: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = text.lower().replace(" ", "").split(",")
    if len(rows) != 3:
        raise FileError(f"has the symmetry operation {text[:40]!r}, which cannot be read")
    rotation, translation = np.zeros((3, 3)), np.zeros(3)
    for axis, row in enumerate(rows):
        position = 0
        while position < len(row):
            match = _TERM.match(row, position)
            if match is None or match.end() == position or not (match[2] or match[4]):
                raise FileError(f"has the symmetry operation {text[:40]!r}, which cannot be read")
            value = _term_value(match)
            if match[4]:
                rotation[axis, "xyz".index(match[4])] += value
            else:
                translation[axis] += value
            position = match.end()
    if round(abs(np.linalg.det(rotation)), 6) != 1:
        raise FileError(f"has the symmetry operation {text[:40]!r}, which keeps no volume")
    return rotation, translation


def _term_value(match: re.Match[str]) -> float:
    if match[2] and (len(match[2]) > 12 or len(match[3] or "") > 6):
        raise FileError("has a symmetry operation with absurd numbers")
    value = Fraction(match[2] or "1") / Fraction(match[3] or "1") if match[3] != "0" else None
    if value is None:
        raise FileError("has a symmetry operation that divides by zero")
    return -float(value) if match[1] == "-" else float(value)


def sharpened(coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Thirds that print has cut short (0.3333, 0.6667) made exact [m, 3]."""
    for third in SIMPLE_FRACTIONS:
        near = np.abs(np.abs(coordinates) / third - 1.0) < SAME_SITE
        coordinates = np.where(near, np.copysign(third, coordinates), coordinates)
    return coordinates


def images(
    coordinates: NDArray[np.float64], operations: Operations
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """All distinct images of the listed atoms inside the cell.

    Parameters
    ----------
    coordinates
        [m, 3], fractional.
    operations
        p operations.

    Returns
    -------
    The coordinates [M, 3], in [0, 1), in the order of their atoms, and which atom each is an
    image of [M].
    """
    moved = np.einsum("pij,mj->mpi", operations.rotations, coordinates) + operations.translations
    moved -= np.floor(moved)
    moved[moved >= 1.0] = 0.0
    count = len(operations.rotations)
    keep = np.zeros(moved.shape[:2], dtype=bool)
    step = max(LARGEST_WORK // (count * count), 1)
    for start in range(0, len(moved), step):
        part = moved[start : start + step]
        close = np.ones((len(part), count, count), dtype=bool)
        for axis in range(3):
            gap = part[:, :, None, axis] - part[:, None, :, axis]
            close &= np.abs(gap - np.round(gap)) < SAME_SITE
        keep[start : start + step] = close.argmax(axis=2) == np.arange(count)
    owners = np.repeat(np.arange(len(moved)), count).reshape(-1, count)
    return moved[keep], owners[keep]


def shared_positions(coordinates: NDArray[np.float64], operations: Operations) -> NDArray[np.int64]:
    """For each listed atom, the first listed atom on whose orbit it lies [m]."""
    from scipy.spatial import cKDTree

    every, owners = images(coordinates, operations)
    every = every - np.floor(every)
    tree = cKDTree(every, boxsize=1.0)
    wrapped = coordinates - np.floor(coordinates)
    wrapped[wrapped >= 1.0] = 0.0
    first = np.arange(len(coordinates))
    for atom, near in enumerate(tree.query_ball_point(wrapped, SAME_SITE, p=np.inf)):
        first[atom] = min(owners[near].min(initial=atom), atom)
    return first
