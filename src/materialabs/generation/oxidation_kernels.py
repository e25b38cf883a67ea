"""Compiled search for the likeliest balanced oxidation states of compositions."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

UNBALANCED = -1e300
"""Score of a composition for which nothing balances."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def likeliest_states(
    elements: NDArray[np.uint8],
    amounts: NDArray[np.float64],
    offsets: NDArray[np.int64],
    states: NDArray[np.float64],
    scores: NDArray[np.float64],
    counts: NDArray[np.int64],
    tolerance: float,
    chosen: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Write each composition's best balanced states into ``chosen`` and return their scores.

    States of an element stand by falling score, so that a branch ends when even the best rest
    cannot beat what was found.
    """
    compositions = len(offsets) - 1
    best = np.full(compositions, UNBALANCED)
    for owner in range(compositions):
        start, stop = offsets[owner], offsets[owner + 1]
        size = stop - start
        rest = np.zeros(size + 1)
        low, high = np.zeros(size + 1), np.zeros(size + 1)
        possible = True
        for place in range(size - 1, -1, -1):
            number = elements[start + place]
            if counts[number] == 0:
                possible = False
                break
            listed = states[number, : counts[number]]
            rest[place] = rest[place + 1] + scores[number, 0]
            low[place] = low[place + 1] + amounts[start + place] * listed.min()
            high[place] = high[place + 1] + amounts[start + place] * listed.max()
        if not possible:
            continue
        cursor = np.zeros(size, np.int64)
        charge, score = np.zeros(size + 1), np.zeros(size + 1)
        trial = np.zeros(size)
        depth = 0
        while depth >= 0:
            number = elements[start + depth]
            rank = cursor[depth]
            if rank == counts[number] or (
                score[depth] + scores[number, rank] + rest[depth + 1] <= best[owner]
            ):
                depth -= 1
                continue
            cursor[depth] += 1
            trial[depth] = states[number, rank]
            total = charge[depth] + amounts[start + depth] * trial[depth]
            if total + high[depth + 1] < -tolerance or total + low[depth + 1] > tolerance:
                continue
            gained = score[depth] + scores[number, rank]
            if depth + 1 == size:
                best[owner] = gained
                chosen[start:stop] = trial
                continue
            depth += 1
            cursor[depth] = 0
            charge[depth] = total
            score[depth] = gained
    return best
