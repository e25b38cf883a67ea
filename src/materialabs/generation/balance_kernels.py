"""Compiled search for oxidation states that sum to zero."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def balanced(
    elements: Array,
    amounts: Array,
    offsets: Array,
    states: Array,
    starts: Array,
    tolerance: float,
) -> Array:
    """True where one listed state for each element makes the charges sum to zero [n].

    Parameters
    ----------
    elements, amounts, offsets
        The compositions, ragged.
    states, starts
        The listed states of element Z are ``states[starts[Z]:starts[Z+1]]``, in e.
    tolerance
        e per formula; a sum below this is zero.
    """
    count = len(offsets) - 1
    result = np.zeros(count, dtype=np.bool_)
    for row in range(count):
        begin, end = offsets[row], offsets[row + 1]
        result[row] = _reaches_zero(
            elements[begin:end], amounts[begin:end], states, starts, tolerance
        )
    return result


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _reaches_zero(
    elements: Array, amounts: Array, states: Array, starts: Array, tolerance: float
) -> bool:
    """Search depth first, cutting where the elements left cannot make up the charge."""
    kinds = len(elements)
    if kinds == 0:
        return False
    lowest = np.zeros(kinds + 1)
    highest = np.zeros(kinds + 1)
    for place in range(kinds - 1, -1, -1):
        first, last = starts[elements[place]], starts[elements[place] + 1]
        if first == last:
            return False
        lowest[place] = lowest[place + 1] + amounts[place] * states[first:last].min()
        highest[place] = highest[place + 1] + amounts[place] * states[first:last].max()
    charge = np.zeros(kinds + 1)
    pick = np.zeros(kinds, dtype=np.int64)
    pick[0] = starts[elements[0]]
    depth = 0
    while depth >= 0:
        if pick[depth] == starts[elements[depth] + 1]:
            depth -= 1
            if depth >= 0:
                pick[depth] += 1
            continue
        total = charge[depth] + amounts[depth] * states[pick[depth]]
        if total + lowest[depth + 1] > tolerance or total + highest[depth + 1] < -tolerance:
            pick[depth] += 1
            continue
        if depth == kinds - 1:
            return True
        depth += 1
        charge[depth] = total
        pick[depth] = starts[elements[depth]]
    return False
