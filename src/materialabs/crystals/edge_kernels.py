"""Compiled loops over edges that were found: their vectors, and the nearest of each atom."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def edge_vectors(
    lattice: Any, frac: Any, edge_offsets: Any, first: Any, second: Any, image: Any, vectors: Any
) -> None:
    """Find the vector from the first atom of each edge to the second, angstrom.

    Parameters
    ----------
    lattice, frac
        The batch of crystals.
    edge_offsets
        int64 [n+1], where the edges of each crystal start.
    first, second, image
        The edges.
    vectors
        float [E, 3], becomes the vectors.
    """
    for c in range(len(lattice)):
        cell = lattice[c]
        for e in range(edge_offsets[c], edge_offsets[c + 1]):
            i, j = first[e], second[e]
            x = frac[j, 0] - frac[i, 0] + image[e, 0]
            y = frac[j, 1] - frac[i, 1] + image[e, 1]
            z = frac[j, 2] - frac[i, 2] + image[e, 2]
            for axis in range(3):
                vectors[e, axis] = x * cell[0, axis] + y * cell[1, axis] + z * cell[2, axis]


@njit(cache=True, nogil=True)
def goes_before(
    a: int, b: int, second: Any, image: Any, distance: Any, tie: float
) -> bool:  # fmt: skip
    """Whether edge a comes before edge b: by distance, then by atom, then by cell shift."""
    rank_a, rank_b = np.rint(distance[a] / tie), np.rint(distance[b] / tie)
    if rank_a != rank_b:
        return bool(rank_a < rank_b)
    if second[a] != second[b]:
        return bool(second[a] < second[b])
    for axis in range(3):
        if image[a, axis] != image[b, axis]:
            return bool(image[a, axis] < image[b, axis])
    return False


@njit(cache=True, nogil=True)
def choose_nearest(
    starts: Any, second: Any, image: Any, distance: Any, wanted: Any, tie: float, chosen: Any
) -> None:
    """Choose the nearest edges of each atom, in order of distance.

    Parameters
    ----------
    starts
        int64 [N+1], where the edges of each atom start.
    second, image, distance
        The edges.
    wanted
        int64 [N], how many each atom wants; it has that many.
    tie
        Distances that round to the same multiple of this are equal, angstrom.
    chosen
        int64 [N, k], becomes the edges.
    """
    for i in range(len(wanted)):
        filled = 0
        for e in range(starts[i], starts[i + 1]):
            place = filled
            if filled == wanted[i]:
                place = filled - 1
                if place < 0 or not goes_before(e, chosen[i, place], second, image, distance, tie):
                    continue
            else:
                filled += 1
            while place > 0 and goes_before(e, chosen[i, place - 1], second, image, distance, tie):
                chosen[i, place] = chosen[i, place - 1]
                place -= 1
            chosen[i, place] = e
