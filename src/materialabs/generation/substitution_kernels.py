"""Compiled search for likely ion substitutions."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

ROUNDING = 1.0 + 1e-9
"""Slack of the bound, so that rounding never prunes a proposal that the exact product keeps."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def likely_products(
    factors: NDArray[np.float64],
    choices: NDArray[np.int32],
    ions: NDArray[np.int64],
    threshold: float,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """All choices of distinct ions, one for each position, whose product exceeds the threshold.

    Parameters
    ----------
    factors
        [m, m]; row i holds the factors of ion i's substitutes, largest first.
    choices
        [m, m]; which ions those are.
    ions
        [k], the ion at each position.
    threshold
        Products must be above this.

    Returns
    -------
    tuple
        Chosen ions [p, k] and their products [p], multiplied from the first position on.
    """
    positions = len(ions)
    species = factors.shape[1]
    best_rest = np.ones(positions + 1)
    for position in range(positions - 1, -1, -1):
        best_rest[position] = best_rest[position + 1] * factors[ions[position], 0]
    capacity = 256
    found = np.empty((capacity, positions), np.int32)
    products = np.empty(capacity)
    count = 0
    cursor = np.zeros(positions, np.int64)
    prefix = np.ones(positions + 1)
    chosen = np.empty(positions, np.int32)
    depth = 0
    while depth >= 0:
        rank = cursor[depth]
        row = ions[depth]
        product = prefix[depth] * factors[row, rank] if rank < species else 0.0
        if rank == species or product * best_rest[depth + 1] * ROUNDING <= threshold:
            depth -= 1
            continue
        cursor[depth] += 1
        ion = choices[row, rank]
        taken = False
        for earlier in range(depth):
            if chosen[earlier] == ion:
                taken = True
        if taken:
            continue
        chosen[depth] = ion
        if depth + 1 < positions:
            depth += 1
            prefix[depth] = product
            cursor[depth] = 0
            continue
        if product > threshold:
            if count == capacity:
                capacity *= 2
                wider = np.empty((capacity, positions), np.int32)
                wider[:count] = found
                found = wider
                longer = np.empty(capacity)
                longer[:count] = products
                products = longer
            found[count] = chosen
            products[count] = product
            count += 1
    return found[:count], products[:count]
