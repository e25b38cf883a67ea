"""CHGNet's convolution over bonds, block by block, forwards and backwards.

Row 2k of a block is its k-th bond as seen from the first atom, row 2k + 1 from the second.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from materialabs.oracles.gated_kernels import (
    WIDTH,
    gate,
    gate_slopes,
    silu_of_sum,
    slope_of_silu_of_sum,
)

Array = NDArray[np.float32]
Places = NDArray[np.int32]

BLOCK = 64
"""Bonds of a block: all that is computed for them stays in a core's nearest cache."""


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def add_bias(rows: Array, bias: Array) -> None:
    """Add a bias [64] to every row."""
    for row in range(len(rows)):
        for place in range(WIDTH):
            rows[row, place] += bias[place]


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def add_product(total: Array, one: Array, other: Array) -> None:
    """Add one * other to a row."""
    for place in range(WIDTH):
        total[place] += one[place] * other[place]


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def add_row(total: Array, row: Array) -> None:
    """Add a row to another."""
    for place in range(WIDTH):
        total[place] += row[place]


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def shared_inputs(
    basis: Array, matrix: Array, start: int, stop: int, short_of: Places, changed: Array, out: Array
) -> None:
    """What a bond brings to the first layer from both sides [2, bonds, 64]."""
    count = stop - start
    for half in range(2):
        np.dot(basis[start:stop], matrix[half], out[half, :count])
        for row in range(count):
            short = short_of[start + row]
            if short >= 0:
                add_row(out[half, row], changed[half, short])


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def over_bonds(
    first: Places, second: Places, ends: Array, basis: Array, matrix: Array, short_of: Places,
    changed: Array, flow: Array, layer: Array, bias: Array, scale: Array, shift: Array,
    hidden: Array, gathered: Array,
) -> None:  # fmt: skip
    """Gather at every atom what its bonds bring [N, 64].

    Parameters
    ----------
    first, second
        Atoms of each bond [E].
    ends
        First layer's part of each atom [4, N, 64]: as the centre to core and gate, then as the
        neighbour.
    basis, matrix
        Radial functions [E, 32] and the first layer's part of them [2, 32, 64].
    short_of, changed
        Place of each bond among the short ones, or -1 [E]; what changes of these bring
        [2, B, 64].
    flow
        Weight of each bond [E, 64].
    layer, bias, scale, shift
        Second layer [2, 64, 64], its bias and the norms' [128].
    hidden
        Filled with the second layer's output [2, 2E, 64], for the way back.
    gathered
        Added to.
    """
    shared = np.empty((2, BLOCK, WIDTH), dtype=np.float32)
    core = np.empty((2 * BLOCK, WIDTH), dtype=np.float32)
    other = np.empty((2 * BLOCK, WIDTH), dtype=np.float32)
    for start in range(0, len(first), BLOCK):
        stop = min(start + BLOCK, len(first))
        count = stop - start
        shared_inputs(basis, matrix, start, stop, short_of, changed, shared)
        for row in range(count):
            i, j = first[start + row], second[start + row]
            silu_of_sum(ends[0, i], ends[2, j], shared[0, row], core[2 * row])
            silu_of_sum(ends[1, i], ends[3, j], shared[1, row], other[2 * row])
            silu_of_sum(ends[0, j], ends[2, i], shared[0, row], core[2 * row + 1])
            silu_of_sum(ends[1, j], ends[3, i], shared[1, row], other[2 * row + 1])
        rows, gate_rows = hidden[0, 2 * start : 2 * stop], hidden[1, 2 * start : 2 * stop]
        np.dot(core[: 2 * count], layer[0], rows)
        np.dot(other[: 2 * count], layer[1], gate_rows)
        add_bias(rows, bias[:WIDTH])
        add_bias(gate_rows, bias[WIDTH:])
        gate(rows, gate_rows, scale, shift, core)
        for row in range(count):
            bond = start + row
            add_product(gathered[first[bond]], core[2 * row], flow[bond])
            add_product(gathered[second[bond]], core[2 * row + 1], flow[bond])


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def back_over_bonds(
    first: Places, second: Places, ends: Array, basis: Array, matrix: Array, short_of: Places,
    changed: Array, flow: Array, layer_back: Array, scale: Array, shift: Array, hidden: Array,
    matrix_back: Array, slope: Array, ends_slope: Array, basis_slope: Array, changed_slope: Array,
    flow_slope: Array,
) -> None:  # fmt: skip
    """Slopes by all that :func:`over_bonds` was given, from the slope by what it gathered.

    Parameters
    ----------
    layer_back, matrix_back
        The second layer [2, 64, 64] and ``matrix`` [2, 64, 32], transposed.
    slope
        By what was gathered [N, 64].
    ends_slope, basis_slope, changed_slope, flow_slope
        Added to.
    """
    shared = np.empty((2, BLOCK, WIDTH), dtype=np.float32)
    shared_slope = np.empty((2, BLOCK, WIDTH), dtype=np.float32)
    basis_part = np.empty((BLOCK, basis.shape[1]), dtype=np.float32)
    value = np.empty((2 * BLOCK, WIDTH), dtype=np.float32)
    incoming = np.empty((2 * BLOCK, WIDTH), dtype=np.float32)
    core = np.empty((2 * BLOCK, WIDTH), dtype=np.float32)
    other = np.empty((2 * BLOCK, WIDTH), dtype=np.float32)
    sums = np.empty((2, 2 * BLOCK, WIDTH), dtype=np.float32)
    for start in range(0, len(first), BLOCK):
        stop = min(start + BLOCK, len(first))
        count = stop - start
        shared_inputs(basis, matrix, start, stop, short_of, changed, shared)
        for row in range(count):
            bond = start + row
            for place in range(WIDTH):
                weight = flow[bond, place]
                incoming[2 * row, place] = slope[first[bond], place] * weight
                incoming[2 * row + 1, place] = slope[second[bond], place] * weight
        gate_slopes(
            hidden[0, 2 * start : 2 * stop], hidden[1, 2 * start : 2 * stop], scale, shift,
            incoming, core, other, value,
        )  # fmt: skip
        np.dot(core[: 2 * count], layer_back[0], sums[0, : 2 * count])
        np.dot(other[: 2 * count], layer_back[1], sums[1, : 2 * count])
        for row in range(count):
            bond = start + row
            i, j = first[bond], second[bond]
            add_product(flow_slope[bond], slope[i], value[2 * row])
            add_product(flow_slope[bond], slope[j], value[2 * row + 1])
            short = short_of[bond]
            for half in range(2):
                there, back = sums[half, 2 * row], sums[half, 2 * row + 1]
                slope_of_silu_of_sum(ends[half, i], ends[2 + half, j], shared[half, row], there)
                slope_of_silu_of_sum(ends[half, j], ends[2 + half, i], shared[half, row], back)
                add_row(ends_slope[half, i], there)
                add_row(ends_slope[2 + half, j], there)
                add_row(ends_slope[half, j], back)
                add_row(ends_slope[2 + half, i], back)
                add_row(there, back)
                shared_slope[half, row] = there
                if short >= 0:
                    add_row(changed_slope[half, short], there)
        for half in range(2):
            np.dot(shared_slope[half, :count], matrix_back[half], basis_part[:count])
            for row in range(count):
                for place in range(basis.shape[1]):
                    basis_slope[start + row, place] += basis_part[row, place]
