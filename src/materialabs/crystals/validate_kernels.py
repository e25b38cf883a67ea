"""Compiled search for the closest pair of atoms of each crystal of a batch."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

ROUNDS = 1000
"""Most passes of the cell reduction; each shortens a vector, so a few are enough."""

SHORTENING = 1.0 - 1e-10
"""A cell vector is replaced only by one shorter than this share of it, so that rounding errors
cannot make the reduction go round in circles."""

Array = NDArray[Any]


@njit(cache=True, nogil=True)
def _dot(a: Array, b: Array) -> float:
    return float(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


@njit(cache=True, nogil=True)
def _shorten_pairs(basis: Array, periodic: Array) -> bool:
    """Subtract whole multiples of one periodic vector from another where that shortens it."""
    changed = False
    for i in range(3):
        for j in range(3):
            if i == j or not (periodic[i] and periodic[j]):
                continue
            multiple = np.round(_dot(basis[i], basis[j]) / _dot(basis[j], basis[j]))
            if multiple == 0.0:
                continue
            trial = basis[i] - multiple * basis[j]
            if _dot(trial, trial) < SHORTENING * _dot(basis[i], basis[i]):
                basis[i] = trial
                changed = True
    return changed


@njit(cache=True, nogil=True)
def _shorten_diagonal(basis: Array) -> bool:
    """Replace the longest vector by a shorter body diagonal (Semaev, 2001, the third step)."""
    longest = 0
    for k in range(1, 3):
        if _dot(basis[k], basis[k]) > _dot(basis[longest], basis[longest]):
            longest = k
    i, j = (longest + 1) % 3, (longest + 2) % 3
    for sign_i in (-1.0, 1.0):
        for sign_j in (-1.0, 1.0):
            trial = basis[longest] + sign_i * basis[i] + sign_j * basis[j]
            if _dot(trial, trial) < SHORTENING * _dot(basis[longest], basis[longest]):
                basis[longest] = trial
                return True
    return False


@njit(cache=True, nogil=True)
def reduce_cell(cell: Array, periodic: Array) -> Array:
    """The same lattice with short vectors; open directions become upright unit vectors.

    Parameters
    ----------
    cell
        float64 [3, 3], rows are vectors, angstrom.
    periodic
        bool [3].
    """
    basis = cell.copy()
    full = periodic[0] and periodic[1] and periodic[2]
    for _ in range(ROUNDS):
        changed = _shorten_pairs(basis, periodic)
        if full and not changed:
            changed = _shorten_diagonal(basis)
        if not changed:
            break
    if not full:
        _stand_upright(basis, periodic)
    return basis


@njit(cache=True, nogil=True)
def _stand_upright(basis: Array, periodic: Array) -> None:
    """Make the open directions perpendicular to all others and of length one (Gram-Schmidt)."""
    frame = np.zeros((3, 3))
    known = 0
    for wanted in (True, False):
        for k in range(3):
            if periodic[k] != wanted:
                continue
            upright = basis[k].copy()
            for other in range(known):
                upright -= _dot(upright, frame[other]) * frame[other]
            length = np.sqrt(_dot(upright, upright))
            if length < 1e-12:
                continue
            frame[known] = upright / length
            if not wanted:
                basis[k] = frame[known]
            known += 1


@njit(cache=True, nogil=True)
def _closest_in_cell(
    basis: Array, frac: Array, periodic: Array, share: Array, cutoff: float
) -> tuple[float, int, int]:
    """Shortest distance below ``cutoff`` of two sites that are occupied at the same time."""
    spacing = np.empty(3)
    volume = abs(_dot(basis[0], np.cross(basis[1], basis[2])))
    for k in range(3):
        normal = np.cross(basis[(k + 1) % 3], basis[(k + 2) % 3])
        spacing[k] = volume / np.sqrt(_dot(normal, normal))
    reach = cutoff / spacing
    axis = 0
    for k in range(1, 3):
        if reach[k] < reach[axis]:
            axis = k
    order = np.argsort(frac[:, axis])
    count = len(frac)
    best, first, second = cutoff * cutoff, -1, -1
    low = np.empty(3)
    high = np.empty(3)
    for place in range(count):
        i = order[place]
        # every partner follows in the sorted order, once around the cell where that is periodic
        step = 0
        while step < count:
            other = place + step
            turn = other // count
            if turn > 0 and not periodic[axis]:
                break
            j = order[other % count]
            ahead = frac[j, axis] + turn - frac[i, axis]
            if step > 0 and ahead > reach[axis]:
                break
            step += 1
            if share[i] + share[j] <= 1.0 + 1e-3:
                continue
            for k in range(3):
                gap = frac[j, k] - frac[i, k]
                if periodic[k]:
                    low[k] = np.ceil(-gap - reach[k])
                    high[k] = np.floor(-gap + reach[k])
                else:
                    low[k] = 0.0
                    high[k] = 0.0
            u = low[0]
            while u <= high[0]:
                v = low[1]
                while v <= high[1]:
                    w = low[2]
                    while w <= high[2]:
                        if i != j or u != 0.0 or v != 0.0 or w != 0.0:
                            a = frac[j, 0] - frac[i, 0] + u
                            b = frac[j, 1] - frac[i, 1] + v
                            c = frac[j, 2] - frac[i, 2] + w
                            square = 0.0
                            for k in range(3):
                                x = a * basis[0, k] + b * basis[1, k] + c * basis[2, k]
                                square += x * x
                            if square < best:
                                best, first, second = square, i, j
                        w += 1.0
                    v += 1.0
                u += 1.0
    return np.sqrt(best), first, second


@njit(cache=True, nogil=True)
def closest_pairs(
    lattice: Array, frac: Array, offsets: Array, pbc: Array, share: Array, cutoff: float
) -> tuple[Array, Array]:
    """Shortest distance below a cut-off in each crystal, periodic images included.

    Parameters
    ----------
    lattice, frac, offsets, pbc
        The arrays of a batch; every cell has a volume and every number is finite.
    share
        float64 [N], the occupied fraction of each site: two sites whose fractions sum to at most
        one are never taken at the same time and may coincide.
    cutoff
        Angstrom.

    Returns
    -------
    distances [n], ``inf`` where none is below the cut-off, and the two sites [n, 2] of the pair.
    """
    count = len(offsets) - 1
    distances = np.full(count, np.inf)
    pairs = np.full((count, 2), -1, dtype=np.int64)
    for index in range(count):
        start, stop = offsets[index], offsets[index + 1]
        if stop == start:
            continue
        basis = reduce_cell(lattice[index], pbc[index])
        change = np.ascontiguousarray(lattice[index]) @ np.linalg.inv(basis)
        inside = np.ascontiguousarray(frac[start:stop]) @ change
        for atom in range(stop - start):
            for k in range(3):
                if pbc[index, k]:
                    inside[atom, k] -= np.floor(inside[atom, k])
        found, i, j = _closest_in_cell(basis, inside, pbc[index], share[start:stop], cutoff)
        if i >= 0:
            distances[index] = found
            pairs[index, 0], pairs[index, 1] = i, j
    return distances, pairs
