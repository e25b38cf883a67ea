"""Compiled distances between the roles of a crystal's sites."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

SHELL = 6
"""Nearest sites of a role whose mean distance is taken, the coordination of an octahedron."""

REACH = 3.0
"""Distances are looked at up to this many mean spacings of the sites."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def role_distances(
    lattice: NDArray[np.float64],
    frac: NDArray[np.float64],
    roles: NDArray[np.int64],
    count: int,
) -> NDArray[np.float64]:
    """Mean distance from role r to its nearest, and to its six nearest, site of role s [k, k, 2].

    In units of the mean spacing (cell volume / sites)^(1/3), so that size does not matter; what
    lies beyond ``REACH`` counts as ``REACH``.
    """
    sites = len(frac)
    volume = abs(np.linalg.det(lattice))
    spacing = (volume / sites) ** (1.0 / 3.0)
    reach = REACH * spacing
    inverse = np.linalg.inv(lattice)
    ranges = np.empty(3, np.int64)
    for axis in range(3):
        height = 1.0 / np.sqrt((inverse[:, axis] ** 2).sum())
        ranges[axis] = int(np.ceil(reach / height))
    found = np.zeros((count, count, 2))
    members = np.zeros(count)
    for i in range(sites):
        members[roles[i]] += 1
        nearest = np.full((count, SHELL), reach * reach)
        for j in range(sites):
            s = roles[j]
            d0, d1, d2 = frac[j, 0] - frac[i, 0], frac[j, 1] - frac[i, 1], frac[j, 2] - frac[i, 2]
            d0, d1, d2 = d0 - np.rint(d0), d1 - np.rint(d1), d2 - np.rint(d2)
            for a in range(-ranges[0], ranges[0] + 1):
                for b in range(-ranges[1], ranges[1] + 1):
                    for c in range(-ranges[2], ranges[2] + 1):
                        if i == j and a == 0 and b == 0 and c == 0:
                            continue
                        u, v, w = d0 + a, d1 + b, d2 + c
                        x = u * lattice[0, 0] + v * lattice[1, 0] + w * lattice[2, 0]
                        y = u * lattice[0, 1] + v * lattice[1, 1] + w * lattice[2, 1]
                        z = u * lattice[0, 2] + v * lattice[1, 2] + w * lattice[2, 2]
                        square = x * x + y * y + z * z
                        if square >= nearest[s, SHELL - 1]:
                            continue
                        place = SHELL - 1
                        while place > 0 and nearest[s, place - 1] > square:
                            nearest[s, place] = nearest[s, place - 1]
                            place -= 1
                        nearest[s, place] = square
        for s in range(count):
            found[roles[i], s, 0] += np.sqrt(nearest[s, 0]) / spacing
            found[roles[i], s, 1] += np.sqrt(nearest[s]).mean() / spacing
    for r in range(count):
        found[r] /= members[r]
    return found
