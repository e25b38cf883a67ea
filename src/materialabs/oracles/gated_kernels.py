"""Gated layers on blocks of rows: silu(norm(core)) * sigmoid(norm(gate)), forwards and backwards.

Core and gate are kept as two arrays [rows, 64]. What a row holds (a bond's direction, an angle's)
is the caller's affair.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from materialabs.oracles.smooth_kernels import sigmoid

Array = NDArray[np.float32]

WIDTH = 64
"""Features of an atom, a bond and an angle."""

NORM_MARGIN = np.float32(1e-5)
"""Added to the variance in a layer norm."""

ONE = np.float32(1.0)
SHARE = np.float32(1.0 / WIDTH)


@njit(fastmath={"contract"}, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def silu_of_sum(a: Array, b: Array, c: Array, out: Array) -> None:
    """Give silu(a + b + c) for a row."""
    for place in range(WIDTH):
        x = a[place] + b[place] + c[place]
        out[place] = x * sigmoid(x)


@njit(fastmath={"contract"}, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def slope_of_silu_of_sum(a: Array, b: Array, c: Array, slope: Array) -> None:
    """Turn the slope by silu(a + b + c) into the slope by a + b + c, in place."""
    for place in range(WIDTH):
        x = a[place] + b[place] + c[place]
        share = sigmoid(x)
        slope[place] *= share * (ONE + x * (ONE - share))


@njit(fastmath={"contract"}, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def silu(x: Array, out: Array) -> None:
    """Give silu(x) for rows."""
    for row in range(len(x)):
        for place in range(WIDTH):
            out[row, place] = x[row, place] * sigmoid(x[row, place])


@njit(fastmath={"contract"}, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def slope_of_silu(x: Array, slope: Array) -> None:
    """Turn the slope by silu(x) into the slope by x, in place."""
    for row in range(len(x)):
        for place in range(WIDTH):
            share = sigmoid(x[row, place])
            slope[row, place] *= share * (ONE + x[row, place] * (ONE - share))


@njit(fastmath=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def mean_and_scale(row: Array) -> tuple[Any, Any]:
    """Mean, and one over the standard deviation, of a row."""
    total = np.float32(0.0)
    for place in range(WIDTH):
        total += row[place]
    mean = total * SHARE
    squares = np.float32(0.0)
    for place in range(WIDTH):
        squares += (row[place] - mean) * (row[place] - mean)
    return mean, ONE / np.sqrt(squares * SHARE + NORM_MARGIN)


@njit(fastmath={"contract"}, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def gate(core: Array, other: Array, scale: Array, shift: Array, out: Array) -> None:
    """silu(norm(core)) * sigmoid(norm(other)) for rows; scales and shifts of both are [128]."""
    for row in range(len(core)):
        mean, size = mean_and_scale(core[row])
        gate_mean, gate_size = mean_and_scale(other[row])
        for place in range(WIDTH):
            x = (core[row, place] - mean) * size * scale[place] + shift[place]
            z = (other[row, place] - gate_mean) * gate_size * scale[WIDTH + place] + shift[
                WIDTH + place
            ]
            out[row, place] = x * sigmoid(x) * sigmoid(z)


@njit(fastmath={"contract"}, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def gate_slopes(
    core: Array, other: Array, scale: Array, shift: Array,
    slope: Array, core_slope: Array, other_slope: Array, out: Array,
) -> None:  # fmt: skip
    """Slopes by core and gate from the slope by the product; the product is computed again."""
    for row in range(len(core)):
        mean, size = mean_and_scale(core[row])
        gate_mean, gate_size = mean_and_scale(other[row])
        for place in range(WIDTH):
            x = (core[row, place] - mean) * size * scale[place] + shift[place]
            z = (other[row, place] - gate_mean) * gate_size * scale[WIDTH + place] + shift[
                WIDTH + place
            ]
            share, opened = sigmoid(x), sigmoid(z)
            value = x * share * opened
            out[row, place] = value
            core_slope[row, place] = (
                slope[row, place] * opened * share * (ONE + x * (ONE - share)) * scale[place]
            )
            other_slope[row, place] = (
                slope[row, place] * value * (ONE - opened) * scale[WIDTH + place]
            )
        norm_slope(core[row], mean, size, core_slope[row])
        norm_slope(other[row], gate_mean, gate_size, other_slope[row])


@njit(fastmath=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator]
def norm_slope(row: Array, mean: float, size: float, slope: Array) -> None:
    """Turn the slope by a normed row into the slope by the row, in place."""
    total = np.float32(0.0)
    along = np.float32(0.0)
    for place in range(WIDTH):
        total += slope[place]
        along += slope[place] * (row[place] - mean)
    total *= SHARE
    along *= SHARE * size * size
    for place in range(WIDTH):
        slope[place] = size * (slope[place] - total - (row[place] - mean) * along)
