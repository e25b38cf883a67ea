"""CHGNet's layers over angles, block by block, forwards and backwards.

Row 2k of a block is its k-th angle with the one bond as the one that changes, row 2k + 1 with the
other.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from materialabs.oracles.chgnet_bond_kernels import add_bias, add_row
from materialabs.oracles.gated_kernels import WIDTH, gate, gate_slopes, silu, slope_of_silu

Array = NDArray[np.float32]
Places = NDArray[np.int32]

BLOCK = 64
"""Angles of a block."""


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def add_rows(total: Array, one: Array, other: Array, third: Array) -> None:
    """Add three rows to another."""
    for place in range(WIDTH):
        total[place] += one[place] + other[place] + third[place]


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def angle_inputs(
    centre: Places, one: Places, other: Places, atoms: Array, bonds: Array, angles: Array,
    matrix: Array, start: int, stop: int, out: Array,
) -> None:  # fmt: skip
    """First layer over the angles of a block [2, 2A, 64].

    Parameters
    ----------
    centre, one, other
        Atom and short bonds of each angle [A].
    atoms, bonds
        First layer's parts of atoms [2, N, 64] and short bonds [4, B, 64], the latter as the one
        that changes to core and gate, then as the other.
    angles, matrix
        Features of the angles [2A, 64] and the first layer's part of them [2, 64, 64].
    start, stop
        The block.
    out
        Filled.
    """
    for half in range(2):
        np.dot(angles[2 * start : 2 * stop], matrix[half], out[half, 2 * start : 2 * stop])
        for angle in range(start, stop):
            atom = atoms[half, centre[angle]]
            left, right = one[angle], other[angle]
            add_rows(out[half, 2 * angle], atom, bonds[half, left], bonds[2 + half, right])
            add_rows(out[half, 2 * angle + 1], atom, bonds[half, right], bonds[2 + half, left])


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def back_to_inputs(
    centre: Places, one: Places, other: Places, sums: Array, matrix_back: Array, start: int,
    stop: int, atoms_slope: Array, bonds_slope: Array, angles_slope: Array, room: Array,
) -> None:  # fmt: skip
    """Slopes by what :func:`angle_inputs` was given, from those by its sums [2, 2 * block, 64]."""
    rows = 2 * (stop - start)
    for half in range(2):
        for angle in range(start, stop):
            there, back = sums[half, 2 * (angle - start)], sums[half, 2 * (angle - start) + 1]
            left, right = one[angle], other[angle]
            add_row(atoms_slope[half, centre[angle]], there)
            add_row(atoms_slope[half, centre[angle]], back)
            add_row(bonds_slope[half, left], there)
            add_row(bonds_slope[2 + half, right], there)
            add_row(bonds_slope[half, right], back)
            add_row(bonds_slope[2 + half, left], back)
        np.dot(sums[half, :rows], matrix_back[half], room[:rows])
        for row in range(rows):
            add_row(angles_slope[2 * start + row], room[row])


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def over_angles(
    centre: Places, one: Places, other: Places, atoms: Array, bonds: Array, angles: Array,
    matrix: Array, flow: Array, layer: Array, bias: Array, scale: Array, shift: Array,
    inputs: Array, hidden: Array, gathered: Array,
) -> None:  # fmt: skip
    """Gather at every short bond what its angles bring [B, 64]; see :func:`angle_inputs`.

    ``inputs`` and ``hidden`` [2, 2A, 64] are filled for the way back.
    """
    core = np.empty((2 * BLOCK, WIDTH), dtype=np.float32)
    for start in range(0, len(centre), BLOCK):
        stop = min(start + BLOCK, len(centre))
        angle_inputs(centre, one, other, atoms, bonds, angles, matrix, start, stop, inputs)
        for half in range(2):
            rows = hidden[half, 2 * start : 2 * stop]
            silu(inputs[half, 2 * start : 2 * stop], core)
            np.dot(core[: 2 * (stop - start)], layer[half], rows)
            add_bias(rows, bias[half * WIDTH : (half + 1) * WIDTH])
        gate(
            hidden[0, 2 * start : 2 * stop], hidden[1, 2 * start : 2 * stop], scale, shift, core
        )  # fmt: skip
        for angle in range(start, stop):
            left, right = one[angle], other[angle]
            row = 2 * (angle - start)
            for place in range(WIDTH):
                weight = flow[left, place] * flow[right, place]
                gathered[left, place] += core[row, place] * weight
                gathered[right, place] += core[row + 1, place] * weight


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def back_over_angles(
    centre: Places, one: Places, other: Places, matrix_back: Array, flow: Array,
    layer_back: Array, scale: Array, shift: Array, inputs: Array, hidden: Array, slope: Array,
    atoms_slope: Array, bonds_slope: Array, angles_slope: Array, flow_slope: Array,
) -> None:  # fmt: skip
    """Slopes by all that :func:`over_angles` was given, from the slope by what it gathered."""
    value = np.empty((2 * BLOCK, WIDTH), dtype=np.float32)
    incoming = np.empty((2 * BLOCK, WIDTH), dtype=np.float32)
    room = np.empty((2 * BLOCK, WIDTH), dtype=np.float32)
    core = np.empty((2 * BLOCK, WIDTH), dtype=np.float32)
    opened = np.empty((2 * BLOCK, WIDTH), dtype=np.float32)
    sums = np.empty((2, 2 * BLOCK, WIDTH), dtype=np.float32)
    for start in range(0, len(centre), BLOCK):
        stop = min(start + BLOCK, len(centre))
        count = stop - start
        for row in range(count):
            left, right = one[start + row], other[start + row]
            for place in range(WIDTH):
                weight = flow[left, place] * flow[right, place]
                incoming[2 * row, place] = slope[left, place] * weight
                incoming[2 * row + 1, place] = slope[right, place] * weight
        gate_slopes(
            hidden[0, 2 * start : 2 * stop], hidden[1, 2 * start : 2 * stop], scale, shift,
            incoming, core, opened, value,
        )  # fmt: skip
        for row in range(count):
            left, right = one[start + row], other[start + row]
            for place in range(WIDTH):
                both = (
                    slope[left, place] * value[2 * row, place]
                    + slope[right, place] * value[2 * row + 1, place]
                )
                from_left = both * flow[right, place]
                from_right = both * flow[left, place]
                flow_slope[left, place] += from_left
                flow_slope[right, place] += from_right
        np.dot(core[: 2 * count], layer_back[0], sums[0, : 2 * count])
        np.dot(opened[: 2 * count], layer_back[1], sums[1, : 2 * count])
        for half in range(2):
            slope_of_silu(inputs[half, 2 * start : 2 * stop], sums[half])
        back_to_inputs(
            centre, one, other, sums, matrix_back, start, stop,
            atoms_slope, bonds_slope, angles_slope, room,
        )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def change_angles(
    centre: Places, one: Places, other: Places, atoms: Array, bonds: Array, angles: Array,
    matrix: Array, scale: Array, shift: Array, inputs: Array,
) -> None:  # fmt: skip
    """Change the angles' features [2A, 64] in place; see :func:`angle_inputs`."""
    change = np.empty((2 * BLOCK, WIDTH), dtype=np.float32)
    for start in range(0, len(centre), BLOCK):
        stop = min(start + BLOCK, len(centre))
        angle_inputs(centre, one, other, atoms, bonds, angles, matrix, start, stop, inputs)
        gate(
            inputs[0, 2 * start : 2 * stop], inputs[1, 2 * start : 2 * stop], scale, shift, change
        )  # fmt: skip
        for row in range(2 * (stop - start)):
            add_row(angles[2 * start + row], change[row])


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def back_through_angles(
    centre: Places, one: Places, other: Places, matrix_back: Array, scale: Array, shift: Array,
    inputs: Array, atoms_slope: Array, bonds_slope: Array, angles_slope: Array,
) -> None:  # fmt: skip
    """Slopes by all that :func:`change_angles` was given; ``angles_slope`` is by its result."""
    value = np.empty((2 * BLOCK, WIDTH), dtype=np.float32)
    room = np.empty((2 * BLOCK, WIDTH), dtype=np.float32)
    sums = np.empty((2, 2 * BLOCK, WIDTH), dtype=np.float32)
    for start in range(0, len(centre), BLOCK):
        stop = min(start + BLOCK, len(centre))
        gate_slopes(
            inputs[0, 2 * start : 2 * stop], inputs[1, 2 * start : 2 * stop], scale, shift,
            angles_slope[2 * start : 2 * stop], sums[0], sums[1], value,
        )  # fmt: skip
        back_to_inputs(
            centre, one, other, sums, matrix_back, start, stop,
            atoms_slope, bonds_slope, angles_slope, room,
        )  # fmt: skip
