"""Compiled soft-sphere push-off inside a space group."""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from materialabs.generation.drawing import CLASHING, DONE, UNFINISHED
from materialabs.generation.wyckoff import (
    CUBIC,
    HEXAGONAL,
    MONOCLINIC,
    TETRAGONAL,
    TRICLINIC,
    GroupArrays,
)

STEPS = 60
"""Most steps of one push-off."""

CHECK = 6
"""Steps after which a push-off must have lowered its overlap energy."""

DECAY = 0.7
"""By this factor, or the attempt is given up."""

MARGIN = 1.02
"""Distances are pushed this much beyond the smallest allowed, so that the end is reached."""

MOMENTUM = 0.5
"""Share of the last displacement that goes on."""

LARGEST_STRAIN = 0.1
"""Of one step."""

MOST_IMAGES = 6
"""Cells along one direction that are searched; a flatter cell is given up."""


@njit(cache=True, nogil=True)
def place_atoms(
    sites: int,
    site_position: NDArray[np.int64],
    parameters: NDArray[np.float64],
    table: GroupArrays,
    group: int,
    frac: NDArray[np.float64],
) -> None:
    """Write the atoms of all sites [N, 3], primitive fractional; each orbit starts at its site.

    ``site_position`` counts positions over all groups.
    """
    atom = 0
    origins, directions = table.origins, table.directions
    rotations, translations = table.rotations, table.translations
    for s in range(sites):
        w = site_position[s]
        x, y, z = origins[w, 0], origins[w, 1], origins[w, 2]
        for k in range(table.freedom[w]):
            x += parameters[s, k] * directions[w, k, 0]
            y += parameters[s, k] * directions[w, k, 1]
            z += parameters[s, k] * directions[w, k, 2]
        for o in range(table.orbit_starts[w], table.orbit_starts[w + 1]):
            g = table.operation_starts[group] + table.orbits[o]
            for i in range(3):
                frac[atom, i] = (
                    rotations[g, i, 0] * x
                    + rotations[g, i, 1] * y
                    + rotations[g, i, 2] * z
                    + translations[g, i]
                )
            atom += 1


@njit(cache=True, nogil=True)
def image_shifts(lattice: NDArray[np.float64], reach: float) -> tuple[NDArray[np.float64], bool]:
    """Lattice vectors [m, 3] that suffice for pairs nearer than ``reach``, the zero one first.

    They suffice for differences wrapped to [-1/2, 1/2]; the second value is False for a cell so
    flat that it is not worth a search.
    """
    numbers = np.zeros(3, np.int64)
    volume = abs(np.linalg.det(lattice))
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        x = lattice[j, 1] * lattice[k, 2] - lattice[j, 2] * lattice[k, 1]
        y = lattice[j, 2] * lattice[k, 0] - lattice[j, 0] * lattice[k, 2]
        z = lattice[j, 0] * lattice[k, 1] - lattice[j, 1] * lattice[k, 0]
        height = volume / math.sqrt(x * x + y * y + z * z)
        numbers[i] = math.floor(reach / height + 0.5)
        if numbers[i] > MOST_IMAGES:
            return np.zeros((1, 3)), False
    total = (2 * numbers[0] + 1) * (2 * numbers[1] + 1) * (2 * numbers[2] + 1)
    shifts = np.zeros((total, 3))
    row = 1
    for i in range(-numbers[0], numbers[0] + 1):
        for j in range(-numbers[1], numbers[1] + 1):
            for k in range(-numbers[2], numbers[2] + 1):
                if i == 0 and j == 0 and k == 0:
                    continue
                for d in range(3):
                    shifts[row, d] = i * lattice[0, d] + j * lattice[1, d] + k * lattice[2, d]
                row += 1
    return shifts, True


@njit(cache=True, nogil=True)
def site_forces(
    sites: int,
    site_start: NDArray[np.int64],
    atom_element: NDArray[np.int64],
    frac: NDArray[np.float64],
    lattice: NDArray[np.float64],
    shifts: NDArray[np.float64],
    nearest: NDArray[np.float64],
    forces: NDArray[np.float64],
    contacts: NDArray[np.float64],
    strain: NDArray[np.float64],
    stiffness: NDArray[np.float64],
    worst: NDArray[np.float64],
) -> float:
    """Soft-sphere energy, forces on the first atom of each site, and the strain's drive.

    The energy is the sum of (MARGIN nearest - d)^2 / 2 over pairs nearer than that (angstrom
    squared); by symmetry, only the first atom of each orbit needs to be visited. ``worst`` gets
    the smallest distance over the smallest allowed one, and the two elements.
    """
    energy = 0.0
    strain[:] = 0.0
    stiffness[:] = 0.0
    worst[0] = np.inf
    atoms = site_start[sites]
    for s in range(sites):
        first = site_start[s]
        size = site_start[s + 1] - first
        forces[s, 0] = forces[s, 1] = forces[s, 2] = 0.0
        contacts[s] = 0.0
        e = atom_element[first]
        for other in range(atoms):
            allowed = nearest[e, atom_element[other]]
            wanted = MARGIN * allowed
            u = frac[first, 0] - frac[other, 0]
            v = frac[first, 1] - frac[other, 1]
            w = frac[first, 2] - frac[other, 2]
            u -= math.floor(u + 0.5)
            v -= math.floor(v + 0.5)
            w -= math.floor(w + 0.5)
            bx = u * lattice[0, 0] + v * lattice[1, 0] + w * lattice[2, 0]
            by = u * lattice[0, 1] + v * lattice[1, 1] + w * lattice[2, 1]
            bz = u * lattice[0, 2] + v * lattice[1, 2] + w * lattice[2, 2]
            for m in range(1 if other == first else 0, len(shifts)):
                x = bx + shifts[m, 0]
                y = by + shifts[m, 1]
                z = bz + shifts[m, 2]
                square = x * x + y * y + z * z
                if square >= wanted * wanted:
                    continue
                distance = math.sqrt(square)
                if distance < worst[0] * allowed:
                    worst[0] = distance / allowed
                    worst[1] = e
                    worst[2] = atom_element[other]
                overlap = wanted - distance
                energy += 0.5 * size * overlap * overlap
                distance = max(distance, 1e-9)
                pull = overlap / distance
                forces[s, 0] += pull * x
                forces[s, 1] += pull * y
                forces[s, 2] += pull * z
                contacts[s] += 1.0
                strain[0] += size * pull * x * x
                strain[1] += size * pull * y * y
                strain[2] += size * pull * z * z
                strain[3] += size * pull * y * z
                strain[4] += size * pull * x * z
                strain[5] += size * pull * x * y
                stiffness[0] += size * x * x
                stiffness[1] += size * y * y
                stiffness[2] += size * z * z
    return 0.5 * energy


@njit(cache=True, nogil=True)
def move_sites(
    sites: int,
    site_position: NDArray[np.int64],
    parameters: NDArray[np.float64],
    velocity: NDArray[np.float64],
    table: GroupArrays,
    lattice: NDArray[np.float64],
    forces: NDArray[np.float64],
    contacts: NDArray[np.float64],
) -> bool:
    """Move each site along its free directions; whether any force had a free component."""
    moved = False
    along = np.zeros((3, 3))
    gram = np.zeros((3, 4))
    directions = table.directions
    for s in range(sites):
        w = site_position[s]
        free = table.freedom[w]
        if free == 0:
            continue
        share = 1.0 / contacts[s] if contacts[s] > 0.0 else 0.0
        for k in range(free):
            for d in range(3):
                along[k, d] = (
                    directions[w, k, 0] * lattice[0, d]
                    + directions[w, k, 1] * lattice[1, d]
                    + directions[w, k, 2] * lattice[2, d]
                )
        for k in range(free):
            for n in range(free):
                gram[k, n] = (
                    along[k, 0] * along[n, 0]
                    + along[k, 1] * along[n, 1]
                    + along[k, 2] * along[n, 2]
                )
            gram[k, 3] = share * (
                along[k, 0] * forces[s, 0] + along[k, 1] * forces[s, 1] + along[k, 2] * forces[s, 2]
            )
            if abs(gram[k, 3]) > 1e-6:
                moved = True
        _solve(gram, free)
        for k in range(free):
            velocity[s, k] = MOMENTUM * velocity[s, k] + gram[k, 3]
            parameters[s, k] += velocity[s, k]
    return moved


@njit(cache=True, nogil=True)
def _solve(table: NDArray[np.float64], size: int) -> None:
    """Solve a positive definite system in place, the right side in column 3."""
    for i in range(size):
        for j in range(i + 1, size):
            factor = table[j, i] / table[i, i]
            for k in range(i, size):
                table[j, k] -= factor * table[i, k]
            table[j, 3] -= factor * table[i, 3]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            table[i, 3] -= table[i, k] * table[k, 3]
        table[i, 3] /= table[i, i]


@njit(cache=True, nogil=True)
def strain_lattice(
    family: int,
    volume: float,
    strain: NDArray[np.float64],
    stiffness: NDArray[np.float64],
    lattice: NDArray[np.float64],
) -> bool:
    """Deform the lattice as its family and its volume allow; whether there was a drive."""
    total = stiffness[0] + stiffness[1] + stiffness[2]
    if family == CUBIC or total == 0.0:
        return False
    floor = 0.1 * total
    e = np.zeros(6)
    for i in range(3):
        e[i] = strain[i] / (stiffness[i] + floor)
    if family in (TRICLINIC, MONOCLINIC):
        e[4] = strain[4] / (0.5 * (stiffness[0] + stiffness[2]) + floor)
    if family == TRICLINIC:
        e[3] = strain[3] / (0.5 * (stiffness[1] + stiffness[2]) + floor)
        e[5] = strain[5] / (0.5 * (stiffness[0] + stiffness[1]) + floor)
    if family in (TETRAGONAL, HEXAGONAL):
        e[0] = (strain[0] + strain[1]) / (stiffness[0] + stiffness[1] + floor)
        e[1] = e[0]
    mean = (e[0] + e[1] + e[2]) / 3.0
    largest = 0.0
    for i in range(6):
        if i < 3:
            e[i] -= mean
        largest = max(largest, abs(e[i]))
    if largest > LARGEST_STRAIN:
        e *= LARGEST_STRAIN / largest
    for i in range(3):
        x, y, z = lattice[i, 0], lattice[i, 1], lattice[i, 2]
        lattice[i, 0] = x + e[0] * x + e[5] * y + e[4] * z
        lattice[i, 1] = y + e[5] * x + e[1] * y + e[3] * z
        lattice[i, 2] = z + e[4] * x + e[3] * y + e[2] * z
    lattice *= (volume / abs(np.linalg.det(lattice))) ** (1.0 / 3.0)
    return largest > 1e-6


@njit(cache=True, nogil=True)
def push_off(
    sites: int,
    site_position: NDArray[np.int64],
    site_start: NDArray[np.int64],
    atom_element: NDArray[np.int64],
    parameters: NDArray[np.float64],
    table: GroupArrays,
    group: int,
    lattice: NDArray[np.float64],
    nearest: NDArray[np.float64],
    frac: NDArray[np.float64],
    worst: NDArray[np.float64],
) -> int:
    """Push atoms apart inside the symmetry at fixed volume; DONE, CLASHING or UNFINISHED."""
    volume = abs(np.linalg.det(lattice))
    reach = MARGIN * nearest.max()
    forces = np.zeros((sites, 3))
    velocity = np.zeros((sites, 3))
    contacts = np.zeros(sites)
    strain = np.zeros(6)
    stiffness = np.zeros(3)
    before = np.inf
    for step in range(STEPS):
        place_atoms(sites, site_position, parameters, table, group, frac)
        shifts, searched = image_shifts(lattice, reach)
        if not searched:
            worst[0] = 0.0
            worst[1] = worst[2] = atom_element[0]
            return UNFINISHED
        energy = site_forces(
            sites, site_start, atom_element, frac, lattice, shifts, nearest, forces, contacts,
            strain, stiffness, worst,
        )  # fmt: skip
        if worst[0] >= 1.0:
            return DONE
        if step % CHECK == 0:
            if energy > DECAY * before:
                return UNFINISHED
            before = energy
        moved = move_sites(
            sites, site_position, parameters, velocity, table, lattice, forces, contacts
        )
        strained = strain_lattice(table.family[group], volume, strain, stiffness, lattice)
        if not moved and not strained:
            return CLASHING
    return UNFINISHED
