"""Compiled permutation and subset work for symmetry-inequivalent choices of sites."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

WORD = 64
"""Sites that one mask holds; site 0 is the highest bit."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def site_images(
    frac: NDArray[np.float64],
    metric: NDArray[np.float64],
    rotations: NDArray[np.float64],
    translations: NDArray[np.float64],
    tolerance: float,
) -> NDArray[np.int16]:
    """Where each operation takes each site [g, n]; -1 when no site is within the tolerance.

    Parameters
    ----------
    frac
        [n, 3], fractional coordinates.
    metric
        [3, 3], lattice times its transpose, square angstrom.
    rotations, translations
        [g, 3, 3] and [g, 3], acting on fractional column vectors.
    tolerance
        Angstrom.
    """
    operations, sites = len(rotations), len(frac)
    images = np.full((operations, sites), -1, np.int16)
    for g in range(operations):
        for i in range(sites):
            x = rotations[g, 0, 0] * frac[i, 0] + rotations[g, 0, 1] * frac[i, 1]
            x += rotations[g, 0, 2] * frac[i, 2] + translations[g, 0]
            y = rotations[g, 1, 0] * frac[i, 0] + rotations[g, 1, 1] * frac[i, 1]
            y += rotations[g, 1, 2] * frac[i, 2] + translations[g, 1]
            z = rotations[g, 2, 0] * frac[i, 0] + rotations[g, 2, 1] * frac[i, 1]
            z += rotations[g, 2, 2] * frac[i, 2] + translations[g, 2]
            nearest = tolerance * tolerance
            for j in range(sites):
                a, b, c = x - frac[j, 0], y - frac[j, 1], z - frac[j, 2]
                a -= np.rint(a)
                b -= np.rint(b)
                c -= np.rint(c)
                square = a * a * metric[0, 0] + b * b * metric[1, 1] + c * c * metric[2, 2]
                square += 2 * (a * b * metric[0, 1] + a * c * metric[0, 2] + b * c * metric[1, 2])
                if square < nearest:
                    nearest = square
                    images[g, i] = j
    return images


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def is_canonical(mask: np.uint64, bits: NDArray[np.uint64]) -> bool:
    """True when no operation takes the chosen sites to a mask above this one.

    ``bits[g, i]`` is the one-bit mask of the site to which operation g takes site i.
    """
    sites = bits.shape[1]
    one = np.uint64(1)
    for g in range(bits.shape[0]):
        image = np.uint64(0)
        for i in range(sites):
            if mask & (one << np.uint64(WORD - 1 - i)):
                image |= bits[g, i]
        if image > mask:
            return False
    return True


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def grown_choices(smaller: NDArray[np.uint64], bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One representative of every class of subsets with one site more than ``smaller``.

    Orderly generation (Read, Ann. Discrete Math. 2, 107 (1978)): a canonical subset without its
    last site is canonical, so each arises exactly once, by adding a site after the last.
    """
    sites = bits.shape[1]
    one = np.uint64(1)
    capacity = 64
    found = np.empty(capacity, np.uint64)
    count = 0
    for index in range(len(smaller)):
        mask = smaller[index]
        last = -1
        for i in range(sites):
            if mask & (one << np.uint64(WORD - 1 - i)):
                last = i
        for i in range(last + 1, sites):
            larger = mask | (one << np.uint64(WORD - 1 - i))
            if is_canonical(larger, bits):
                if count == capacity:
                    capacity *= 2
                    wider = np.empty(capacity, np.uint64)
                    wider[:count] = found
                    found = wider
                found[count] = larger
                count += 1
    return found[:count]
