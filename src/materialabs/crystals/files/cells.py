"""Cells from edges and angles, and cells completed where a file leaves directions open."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.errors import FileError

VACUUM = 10.0
"""Angstrom of empty space around atoms along a direction that has no cell vector."""

_COSINES = {90.0: 0.0, 60.0: 0.5, 120.0: -0.5}
"""Exact where rounding would otherwise show."""

MISSING_LENGTH = 1e-8
"""Angstrom; a shorter vector stands for none."""


def _cosine(degrees: float) -> float:
    return _COSINES.get(degrees, math.cos(math.radians(degrees)))


def lattice_from_parameters(
    a: float, b: float, c: float, alpha: float, beta: float, gamma: float
) -> list[list[float]]:
    """Cell vectors with a along x and b in the xy plane.

    Parameters
    ----------
    a, b, c
        Edges in angstrom.
    alpha, beta, gamma
        Angles in degrees.

    Raises
    ------
    FileError
        When no cell has these edges and angles.
    """
    if not all(math.isfinite(value) for value in (a, b, c, alpha, beta, gamma)):
        raise FileError("has a cell that is not made of numbers")
    if min(a, b, c) <= 0:
        raise FileError(f"has a cell without volume: its edges are {a:g}, {b:g}, {c:g}")
    x, y, z = _cosine(alpha), _cosine(beta), _cosine(gamma)
    sine = math.sqrt(max(1.0 - z * z, 0.0))
    if not (0 < alpha < 180 and 0 < beta < 180 and 0 < gamma < 180) or sine == 0.0:
        raise FileError(f"has impossible cell angles {alpha:g}, {beta:g}, {gamma:g}")
    across = (x - y * z) / sine
    height = 1.0 - y * y - across * across
    if height <= 0:
        raise FileError(
            f"has a cell without volume: no cell has the angles {alpha:g}, {beta:g}, {gamma:g}"
        )
    return [
        [a, 0.0, 0.0],
        [b * z, b * sine, 0.0],
        [c * y, c * across, c * math.sqrt(height)],
    ]


def parameters_of(lattice: NDArray[np.float64]) -> tuple[float, ...]:
    """Edges (angstrom) and angles (degrees) of a cell [3, 3]."""
    a, b, c = lattice
    lengths = [float(np.linalg.norm(vector)) for vector in lattice]
    angles = [_angle(b, c), _angle(a, c), _angle(a, b)]
    return (*lengths, *angles)


def _angle(u: NDArray[np.float64], v: NDArray[np.float64]) -> float:
    """Angle in degrees by the arctangent, accurate at all angles (Kahan, 2006)."""
    sine = float(np.linalg.norm(np.cross(u, v)))
    return math.degrees(math.atan2(sine, float(u @ v)))


def lattice_of(value: Any) -> list[list[float]]:
    """A cell given as three vectors, as nine numbers, or as edges and angles."""
    array = np.asarray(value, dtype=np.float64)
    if array.shape == (6,):
        return lattice_from_parameters(*array.tolist())
    if array.shape == (3,):
        return [[float(x) for x in row] for row in np.diag(array)]
    if array.size != 9:
        raise FileError("has a cell that is neither three vectors nor three edges and angles")
    return [[float(x) for x in row] for row in array.reshape(3, 3)]


def fractional(lattice: ArrayLike, cart: ArrayLike) -> NDArray[np.float64]:
    """Fractional coordinates of Cartesian ones [m, 3], angstrom."""
    cell = np.asarray(lattice, dtype=np.float64)
    points = np.asarray(cart, dtype=np.float64).reshape(-1, 3)
    try:
        return np.asarray(np.linalg.solve(cell.T, points.T).T)
    except np.linalg.LinAlgError:
        raise FileError("has a cell without volume") from None


def completed(
    lattice: NDArray[np.float64], positions: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the open directions of a cell a vector and the atoms their room in it.

    Parameters
    ----------
    lattice
        [3, 3], angstrom; a direction without a vector has a row of zeros.
    positions
        [m, 3], angstrom.

    Returns
    -------
    The full cell, and the positions with the first atom's corner moved inside along the new
    vectors.
    """
    missing = np.linalg.norm(lattice, axis=1) < MISSING_LENGTH
    if not missing.any():
        return lattice, positions
    frame = _perpendicular(lattice, missing)
    along = positions @ frame[missing].T
    low = along.min(axis=0, initial=np.inf) if len(positions) else np.zeros(missing.sum())
    extent = np.ptp(along, axis=0) if len(positions) else np.zeros(missing.sum())
    cell = lattice.copy()
    cell[missing] = frame[missing] * (extent + 2 * VACUUM)[:, None]
    return cell, positions - (low - VACUUM) @ frame[missing]


def _perpendicular(lattice: NDArray[np.float64], missing: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Unit vectors for the missing directions, upright on the given ones and on each other."""
    frame = np.zeros((3, 3))
    given = lattice[~missing]
    if len(given) == 0:
        return np.eye(3)
    _, _, basis = np.linalg.svd(given, full_matrices=True)
    frame[missing] = basis[len(given) :]
    trial = lattice + frame
    if np.linalg.det(trial) < 0:
        frame[np.flatnonzero(missing)[0]] *= -1
    return frame
