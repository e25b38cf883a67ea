"""Radial and angular functions of CHGNet with their derivatives, and the way back to vectors.

The last of the 32 columns is 1 with derivative 0: it carries a layer's bias.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from materialabs.oracles.smooth_kernels import sines_and_cosines

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]
Places = NDArray[np.int32]

COLUMNS = 32
ENVELOPE_POWER = 8
"""Of the polynomial that takes a bond smoothly to nothing at the cut-off."""

COSINE_MARGIN = 1.0 - 1e-6
"""Cosines are scaled by this, so that the angle of a straight line has a derivative."""


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def radial(
    lengths: Doubles, frequencies: Array, cutoff: float, values: Array, slopes: Array
) -> None:
    """Bessel functions times an envelope (Gasteiger et al., ICLR 2020, eq. 7 and 8) [E, 32]."""
    p = ENVELOPE_POWER
    sines = np.empty(len(frequencies), dtype=np.float32)
    cosines = np.empty(len(frequencies), dtype=np.float32)
    for bond in range(len(lengths)):
        length = lengths[bond]
        x = length / cutoff
        high = x ** (p - 1)
        envelope = 1.0 + high * x * (
            -(p + 1) * (p + 2) / 2 + x * (p * (p + 2) - x * p * (p + 1) / 2)
        )
        fall = -p * (p + 1) * (p + 2) / 2 * high * (1.0 - x) ** 2 / cutoff
        if x >= 1.0:
            envelope = fall = 0.0
        scale = np.sqrt(2.0 / cutoff) / length
        value = np.float32(envelope * scale)
        slope = np.float32((fall - envelope / length) * scale)
        turn = np.float32(envelope * scale / cutoff)
        sines_and_cosines(x, frequencies, sines, cosines)
        for place in range(len(frequencies)):
            values[bond, place] = value * sines[place]
            slopes[bond, place] = slope * sines[place] + turn * frequencies[place] * cosines[place]
        values[bond, COLUMNS - 1] = 1.0
        slopes[bond, COLUMNS - 1] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def harmonics(
    units: Doubles, one: Places, other: Places, sign: NDArray[np.int8], frequencies: Array,
    values: Array, slopes: Array,
) -> None:  # fmt: skip
    """Sines and cosines of multiples of each angle, and their derivatives by the cosine [A, 32].

    ``units`` are the short bonds' directions [B, 3].
    """
    count = len(frequencies)
    sines = np.empty(count, dtype=np.float32)
    cosines = np.empty(count, dtype=np.float32)
    size = np.float32(1.0 / np.sqrt(np.pi))
    for angle in range(len(one)):
        a, b = units[one[angle]], units[other[angle]]
        cosine = (a[0] * b[0] + a[1] * b[1] + a[2] * b[2]) * sign[angle] * COSINE_MARGIN
        cosine = min(max(cosine, -COSINE_MARGIN), COSINE_MARGIN)
        turn = np.float32(-COSINE_MARGIN / np.sqrt(1.0 - cosine * cosine)) * size
        sines_and_cosines(np.arccos(cosine), frequencies, sines, cosines)
        values[angle, 0] = size * np.float32(1.0 / np.sqrt(2.0))
        slopes[angle, 0] = 0.0
        for place in range(count):
            values[angle, 1 + place] = size * sines[place]
            values[angle, 1 + count + place] = size * cosines[place]
            slopes[angle, 1 + place] = turn * frequencies[place] * cosines[place]
            slopes[angle, 1 + count + place] = -turn * frequencies[place] * sines[place]
        values[angle, COLUMNS - 1] = 1.0
        slopes[angle, COLUMNS - 1] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def row_products(one: Array, other: Array, out: Doubles) -> None:
    """Scalar product of each row of two arrays [., 32]."""
    for row in range(len(one)):
        total = 0.0
        for place in range(COLUMNS):
            total += one[row, place] * other[row, place]
        out[row] = total


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def slopes_of_angles(
    units: Doubles, lengths: Doubles, one: Places, other: Places, sign: NDArray[np.int8],
    by_cosine: Doubles, slopes: Doubles,
) -> None:  # fmt: skip
    """Add to the slopes by the short bonds' vectors [B, 3] what their angles bring.

    The cosine's derivative by a bond's vector is the part of the other's direction across it,
    over the bond's length.
    """
    for angle in range(len(one)):
        left, right = one[angle], other[angle]
        a, b = units[left], units[right]
        cosine = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
        slope = by_cosine[angle] * sign[angle]
        for axis in range(3):
            slopes[left, axis] += slope * (b[axis] - cosine * a[axis]) / lengths[left]
            slopes[right, axis] += slope * (a[axis] - cosine * b[axis]) / lengths[right]


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def forces_and_virials(
    first: Places, second: Places, owners: NDArray[np.int64], vectors: Doubles, slopes: Doubles,
    forces: Doubles, virials: Doubles,
) -> None:  # fmt: skip
    """Add the forces [N, 3] and each crystal's virial [n, 3, 3] of all bonds."""
    for bond in range(len(first)):
        crystal = owners[first[bond]]
        for axis in range(3):
            forces[first[bond], axis] += slopes[bond, axis]
            forces[second[bond], axis] -= slopes[bond, axis]
            for along in range(3):
                virials[crystal, axis, along] += vectors[bond, axis] * slopes[bond, along]
