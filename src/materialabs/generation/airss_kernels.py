"""Compiled drawing of random crystals, one after another."""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from materialabs.generation.choice_kernels import (
    completion_table,
    draw_positions,
    fixed_classes,
    free_table,
)
from materialabs.generation.drawing import DONE, IMPOSSIBLE, UNFINISHED
from materialabs.generation.push_off_kernels import push_off
from materialabs.generation.wyckoff import (
    CUBIC,
    HEXAGONAL,
    MONOCLINIC,
    TETRAGONAL,
    TRICLINIC,
    GroupArrays,
)
from materialabs.random_kernels import uniform

SPREAD = math.log(1.6)
"""Each axis is drawn within this logarithm of the mean, so that axes differ up to 2.56 fold."""

NARROWEST, WIDEST = math.radians(60.0), math.radians(120.0)
"""Free cell angles are drawn between these; any lattice has such a cell."""

FLATTEST = 0.4
"""Triclinic angles are drawn again when the cell fills less of its brick than this."""

RHOMBOHEDRAL_STRETCH = math.sqrt(6.0)
"""c/a of the hexagonal cell of a simple cubic lattice: where c/a of R groups is centred."""


@njit(cache=True, nogil=True)
def draw_lattice(
    random: NDArray[np.uint64],
    family: int,
    rows: NDArray[np.float64],
    volume: float,
    lattice: NDArray[np.float64],
) -> None:
    """Draw a primitive lattice [3, 3] of this volume for a crystal family.

    ``rows`` are the primitive vectors in terms of the conventional ones. The conventional cell
    has a along x, b in the xy plane and, where unique, b (monoclinic) or c upright.
    """
    a = math.exp(SPREAD * (2.0 * uniform(random) - 1.0))
    b = math.exp(SPREAD * (2.0 * uniform(random) - 1.0))
    c = math.exp(SPREAD * (2.0 * uniform(random) - 1.0))
    cell = np.zeros((3, 3))
    if family >= TETRAGONAL:
        b = a
    if family == HEXAGONAL and abs(np.linalg.det(rows) - 1.0 / 3.0) < 1e-6:
        c *= RHOMBOHEDRAL_STRETCH
    if family == CUBIC:
        c = a
    cell[0, 0], cell[1, 1], cell[2, 2] = a, b, c
    if family == HEXAGONAL:
        cell[1, 0], cell[1, 1] = -0.5 * a, math.sqrt(0.75) * a
    elif family == MONOCLINIC:
        beta = NARROWEST + (WIDEST - NARROWEST) * uniform(random)
        cell[2, 0], cell[2, 2] = c * math.cos(beta), c * math.sin(beta)
    elif family == TRICLINIC:
        _triclinic(random, a, b, c, cell)
    scale = (volume / abs(np.linalg.det(cell) * np.linalg.det(rows))) ** (1.0 / 3.0)
    for i in range(3):
        for j in range(3):
            total = 0.0
            for k in range(3):
                total += rows[i, k] * cell[k, j]
            lattice[i, j] = scale * total


@njit(cache=True, nogil=True)
def _triclinic(
    random: NDArray[np.uint64], a: float, b: float, c: float, cell: NDArray[np.float64]
) -> None:
    filled = 0.0
    while filled < FLATTEST:
        alpha = math.cos(NARROWEST + (WIDEST - NARROWEST) * uniform(random))
        beta = math.cos(NARROWEST + (WIDEST - NARROWEST) * uniform(random))
        angle = NARROWEST + (WIDEST - NARROWEST) * uniform(random)
        gamma, sine = math.cos(angle), math.sin(angle)
        y = (alpha - beta * gamma) / sine
        z = 1.0 - beta * beta - y * y
        filled = sine * math.sqrt(z) if z > 0.0 else 0.0
    cell[1, 0], cell[1, 1] = b * gamma, b * sine
    cell[2, 0], cell[2, 1], cell[2, 2] = c * beta, c * y, c * math.sqrt(z)


@njit(cache=True, nogil=True)
def draw_crystal(
    seed: int,
    attempts: int,
    group: int,
    atoms: NDArray[np.int64],
    nearest: NDArray[np.float64],
    low: float,
    high: float,
    table: GroupArrays,
    lattice: NDArray[np.float64],
    frac: NDArray[np.float64],
    site_of: NDArray[np.int64],
    element_of: NDArray[np.int64],
    worst: NDArray[np.float64],
) -> tuple[int, int]:
    """Draw one crystal of a group (counted from 0); how it ended and the attempts used.

    ``atoms`` [e] are counts in the primitive cell, ``nearest`` [e, e] the smallest distances,
    ``low`` and ``high`` bound the volume of the primitive cell. Written are the primitive
    lattice, ``frac`` [N, 3], the position of each atom (inside its group) and its element; on
    failure, ``worst`` holds the smallest distance of the best attempt over the allowed one and
    its elements.
    """
    random = np.array([seed], np.uint64)
    start, stop = table.position_starts[group], table.position_starts[group + 1]
    sizes_of = table.orbit_starts[start + 1 : stop + 1] - table.orbit_starts[start:stop]
    freedom = table.freedom[start:stop]
    sizes, counts = fixed_classes(sizes_of, freedom)
    free = free_table(sizes_of, freedom, atoms.max())
    completion = completion_table(atoms, sizes, counts, free[0])
    if completion[0, 0] == 0.0:
        return IMPOSSIBLE, 0
    total = len(frac)
    site_position = np.zeros(total, np.int64)
    site_element = np.zeros(total, np.int64)
    site_start = np.zeros(total + 1, np.int64)
    parameters = np.zeros((total, 3))
    found = np.zeros(3)
    worst[0] = -1.0
    ended = UNFINISHED
    for attempt in range(attempts):
        sites = draw_positions(
            random, atoms, sizes_of, freedom, sizes, counts, free, completion, site_position,
            site_element,
        )  # fmt: skip
        for s in range(sites):
            size = sizes_of[site_position[s]]
            site_start[s + 1] = site_start[s] + size
            for a in range(site_start[s], site_start[s + 1]):
                site_of[a] = site_position[s]
                element_of[a] = site_element[s]
            site_position[s] += start
            for k in range(3):
                parameters[s, k] = uniform(random)
        volume = low + (high - low) * uniform(random)
        draw_lattice(random, table.family[group], table.primitive_rows[group], volume, lattice)
        outcome = push_off(
            sites, site_position, site_start, element_of, parameters, table, group, lattice,
            nearest, frac, found,
        )  # fmt: skip
        if outcome == DONE:
            return DONE, attempt + 1
        if found[0] > worst[0]:
            worst[:] = found
            ended = outcome
    return ended, attempts


@njit(cache=True, nogil=True)
def draw_crystals(
    seeds: NDArray[np.uint64],
    attempts: int,
    groups: NDArray[np.int64],
    atoms: NDArray[np.int64],
    element_starts: NDArray[np.int64],
    nearest: NDArray[np.float64],
    nearest_starts: NDArray[np.int64],
    volumes: NDArray[np.float64],
    offsets: NDArray[np.int64],
    table: GroupArrays,
    lattices: NDArray[np.float64],
    frac: NDArray[np.float64],
    site_of: NDArray[np.int64],
    element_of: NDArray[np.int64],
    worst: NDArray[np.float64],
    outcomes: NDArray[np.int64],
    used: NDArray[np.int64],
) -> None:
    """:func:`draw_crystal` for each of many requests, each from its own seed."""
    for r in range(len(groups)):
        begin, end = element_starts[r], element_starts[r + 1]
        first, last = offsets[r], offsets[r + 1]
        kinds = end - begin
        square = nearest[nearest_starts[r] : nearest_starts[r] + kinds * kinds]
        outcomes[r], used[r] = draw_crystal(
            seeds[r], attempts, groups[r], atoms[begin:end], square.reshape(kinds, kinds),
            volumes[r, 0], volumes[r, 1], table, lattices[r], frac[first:last],
            site_of[first:last], element_of[first:last], worst[r],
        )  # fmt: skip
