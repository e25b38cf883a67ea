"""Compiled soft-sphere push-off without symmetry, with a neighbour list."""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

MARGIN = 1.01
"""Distances are pushed this much beyond the smallest allowed, so that the end is reached."""

SKIN = 0.6
"""Angstrom; pairs this much beyond reach are listed, until an atom has moved half of it."""

MOMENTUM = 0.8
"""Share of the last displacement that goes on."""

LARGEST_MOVE = 0.25
"""Angstrom in one step; below half the skin."""


@njit(cache=True, nogil=True)
def image_numbers(
    lattice: NDArray[np.float64], pbc: NDArray[np.bool_], reach: float
) -> NDArray[np.int64]:
    """Cells to search each way along each vector [3], for differences wrapped to [-1/2, 1/2]."""
    numbers = np.zeros(3, np.int64)
    volume = abs(np.linalg.det(lattice))
    for i in range(3):
        if pbc[i]:
            normal = np.cross(lattice[(i + 1) % 3], lattice[(i + 2) % 3])
            height = volume / math.sqrt(np.sum(normal * normal))
            numbers[i] = math.floor(reach / height + 0.5)
    return numbers


@njit(cache=True, nogil=True)
def list_pairs(
    frac: NDArray[np.float64],
    lattice: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    reach: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pairs i <= j within reach: atoms [m, 2] and the lattice vector [m, 3] to add to i - j."""
    numbers = image_numbers(lattice, pbc, reach)
    room = max(64, 8 * len(frac))
    atoms = np.empty((room, 2), np.int64)
    shifts = np.empty((room, 3))
    used = 0
    cell = np.empty(3)
    for i in range(len(frac)):
        for j in range(i, len(frac)):
            for d in range(3):
                cell[d] = -math.floor(frac[i, d] - frac[j, d] + 0.5) if pbc[d] else 0.0
            for p in range(-numbers[0], numbers[0] + 1):
                for q in range(-numbers[1], numbers[1] + 1):
                    for r in range(-numbers[2], numbers[2] + 1):
                        if i == j and (p, q, r) <= (0, 0, 0):
                            continue
                        u = cell[0] + p
                        v = cell[1] + q
                        w = cell[2] + r
                        a = frac[i, 0] - frac[j, 0] + u
                        b = frac[i, 1] - frac[j, 1] + v
                        c = frac[i, 2] - frac[j, 2] + w
                        square = 0.0
                        for d in range(3):
                            x = a * lattice[0, d] + b * lattice[1, d] + c * lattice[2, d]
                            square += x * x
                        if square > reach * reach:
                            continue
                        if used == room:
                            more = np.empty((2 * room, 2), np.int64)
                            more[:room] = atoms
                            atoms = more
                            longer = np.empty((2 * room, 3))
                            longer[:room] = shifts
                            shifts = longer
                            room *= 2
                        atoms[used, 0] = i
                        atoms[used, 1] = j
                        for d in range(3):
                            shifts[used, d] = (
                                u * lattice[0, d] + v * lattice[1, d] + w * lattice[2, d]
                            )
                        used += 1
    return atoms[:used], shifts[:used]


@njit(cache=True, nogil=True)
def overlap_forces(
    positions: NDArray[np.float64],
    kinds: NDArray[np.int64],
    atoms: NDArray[np.int64],
    shifts: NDArray[np.float64],
    nearest: NDArray[np.float64],
    forces: NDArray[np.float64],
    contacts: NDArray[np.float64],
) -> tuple[float, float]:
    """Soft-sphere energy (angstrom squared) and smallest distance over the smallest allowed."""
    forces[:] = 0.0
    contacts[:] = 0.0
    energy = 0.0
    closest = np.inf
    for m in range(len(atoms)):
        i, j = atoms[m, 0], atoms[m, 1]
        allowed = nearest[kinds[i], kinds[j]]
        x = positions[i, 0] - positions[j, 0] + shifts[m, 0]
        y = positions[i, 1] - positions[j, 1] + shifts[m, 1]
        z = positions[i, 2] - positions[j, 2] + shifts[m, 2]
        distance = math.sqrt(x * x + y * y + z * z)
        closest = min(closest, distance / allowed)
        overlap = MARGIN * allowed - distance
        if overlap <= 0.0 or i == j:
            continue
        energy += 0.5 * overlap * overlap
        pull = overlap / max(distance, 1e-9)
        contacts[i] += 1.0
        contacts[j] += 1.0
        forces[i, 0] += pull * x
        forces[i, 1] += pull * y
        forces[i, 2] += pull * z
        forces[j, 0] -= pull * x
        forces[j, 1] -= pull * y
        forces[j, 2] -= pull * z
    return energy, closest


@njit(cache=True, nogil=True)
def pack(
    frac: NDArray[np.float64],
    kinds: NDArray[np.int64],
    lattice: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    nearest: NDArray[np.float64],
    steps: int,
) -> float:
    """Push the atoms of one cell apart in place; the smallest distance over the allowed one.

    Parameters
    ----------
    frac
        [N, 3], changed in place, not wrapped; along directions without periodicity the atoms
        stay within the range that they have.
    kinds
        [N], element of each atom, a row of ``nearest``.
    lattice, pbc
        [3, 3] in angstrom and [3].
    nearest
        [e, e], smallest distances in angstrom.
    steps
        Most steps.
    """
    reach = MARGIN * nearest.max() + SKIN
    inverse = np.linalg.inv(lattice)
    low, high = np.empty(3), np.empty(3)
    for d in range(3):
        low[d], high[d] = frac[:, d].min(), frac[:, d].max()
    count = len(frac)
    forces = np.zeros((count, 3))
    velocity = np.zeros((count, 3))
    contacts = np.zeros(count)
    positions = frac @ lattice
    listed = positions.copy()
    atoms, shifts = list_pairs(frac, lattice, pbc, reach)
    closest = 0.0
    for _ in range(steps):
        furthest = 0.0
        for i in range(count):
            furthest = max(furthest, np.sum((positions[i] - listed[i]) ** 2))
        if furthest > 0.25 * SKIN * SKIN:
            frac[:] = positions @ inverse
            atoms, shifts = list_pairs(frac, lattice, pbc, reach)
            listed[:] = positions
        _, closest = overlap_forces(positions, kinds, atoms, shifts, nearest, forces, contacts)
        if closest >= 1.0:
            break
        for i in range(count):
            share = 1.0 / contacts[i] if contacts[i] > 0.0 else 0.0
            length = 0.0
            for d in range(3):
                velocity[i, d] = MOMENTUM * velocity[i, d] + share * forces[i, d]
                length += velocity[i, d] ** 2
            factor = min(1.0, LARGEST_MOVE / math.sqrt(length)) if length > 0.0 else 1.0
            for d in range(3):
                velocity[i, d] *= factor
                positions[i, d] += velocity[i, d]
        if not (pbc[0] and pbc[1] and pbc[2]):
            _confine(positions, lattice, inverse, pbc, low, high)
    frac[:] = positions @ inverse
    if closest < 1.0:
        atoms, shifts = list_pairs(frac, lattice, pbc, reach)
        _, closest = overlap_forces(positions, kinds, atoms, shifts, nearest, forces, contacts)
    return closest


@njit(cache=True, nogil=True)
def _confine(
    positions: NDArray[np.float64],
    lattice: NDArray[np.float64],
    inverse: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> None:
    """Bring atoms back between the bounds along directions without periodicity."""
    for i in range(len(positions)):
        place = np.zeros(3)
        for d in range(3):
            for k in range(3):
                place[d] += positions[i, k] * inverse[k, d]
        for d in range(3):
            if not pbc[d]:
                place[d] = min(max(place[d], low[d]), high[d])
        for d in range(3):
            positions[i, d] = 0.0
            for k in range(3):
                positions[i, d] += place[k] * lattice[k, d]
