"""Exponentials and sines in single precision that a compiler can turn into vector instructions.

Library functions are called one number at a time and are most of the time that a small network
takes. These are within 2e-7 of them where the network uses them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import float32, njit
from numba.extending import intrinsic
from numpy.typing import NDArray


@intrinsic  # type: ignore[untyped-decorator]
def power_of_two(typingctx: Any, moved: Any) -> Any:
    """2^n for the n that stands in the last bits of a float to which 1.5 * 2^23 was added."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(32)
        bits = builder.bitcast(args[0], word)
        exponent = builder.shl(builder.add(bits, ir.Constant(word, 127)), ir.Constant(word, 23))
        return builder.bitcast(exponent, ir.FloatType())

    return float32(float32), code


LOG2_E = np.float32(1.4426950408889634)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
"""ln 2 in two parts, the first with few digits (Cody and Waite, 1980)."""

TO_NEAREST = np.float32(12582912.0)
"""1.5 * 2^23: adding it leaves the nearest whole number in the last bits."""

LARGEST_EXPONENT = np.float32(87.0)
"""exp of this is near the largest single-precision number."""

C2, C3, C4, C5, C6, C7 = (
    np.float32(1 / 2), np.float32(1 / 6), np.float32(1 / 24),
    np.float32(1 / 120), np.float32(1 / 720), np.float32(1 / 5040),
)  # fmt: skip
"""Taylor coefficients of exp; |x| stays below ln(2)/2, where the rest is below 1e-8."""


@njit(fastmath={"contract"}, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def exponential(x: Any) -> Any:
    """Give exp(x) for x in -87 ... 87; beyond, its value there."""
    x = min(max(x, -LARGEST_EXPONENT), LARGEST_EXPONENT)
    moved = x * LOG2_E + TO_NEAREST
    whole = moved - TO_NEAREST
    rest = (x - whole * LN2_HIGH) - whole * LN2_LOW
    series = C6 + rest * C7
    series = C5 + rest * series
    series = C4 + rest * series
    series = C3 + rest * series
    series = C2 + rest * series
    series = np.float32(1.0) + rest * (np.float32(1.0) + rest * series)
    return series * power_of_two(moved)


@njit(fastmath={"contract"}, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return np.float32(1.0) / (np.float32(1.0) + exponential(-x))


WHOLE_DOUBLE = 6755399441055744.0
"""1.5 * 2^52: adding it to a double and taking it away again rounds to a whole number."""

S3, S5, S7, S9, S11, S13 = (
    np.float32(-1 / 6), np.float32(1 / 120), np.float32(-1 / 5040), np.float32(1 / 362880),
    np.float32(-1 / 39916800), np.float32(1 / 6227020800),
)  # fmt: skip
K2, K4, K6, K8, K10, K12, K14 = (
    np.float32(-1 / 2), np.float32(1 / 24), np.float32(-1 / 720), np.float32(1 / 40320),
    np.float32(-1 / 3628800), np.float32(1 / 479001600), np.float32(-1 / 87178291200),
)  # fmt: skip
"""Taylor coefficients of sine and cosine; |x| stays below pi/2, where the rest is below 1e-8."""


@njit(fastmath={"contract"}, error_model="numpy")  # type: ignore[untyped-decorator]
def sines_and_cosines(
    turns: float,
    frequencies: NDArray[np.float32],
    sines: NDArray[np.float32],
    cosines: NDArray[np.float32],
) -> None:
    """Sine and cosine of an angle times each frequency, reduced in double precision."""
    for place in range(len(frequencies)):
        angle = turns * np.float64(frequencies[place])
        halves = (angle * (1.0 / np.pi) + WHOLE_DOUBLE) - WHOLE_DOUBLE
        x = np.float32(angle - halves * np.pi)
        pairs = halves * 0.5
        odd = abs(pairs - ((pairs + WHOLE_DOUBLE) - WHOLE_DOUBLE))
        sign = np.float32(1.0 - 4.0 * odd)
        square = x * x
        series = S11 + square * S13
        series = S9 + square * series
        series = S7 + square * series
        series = S5 + square * series
        series = S3 + square * series
        sines[place] = sign * (x + x * square * series)
        series = K12 + square * K14
        series = K10 + square * series
        series = K8 + square * series
        series = K6 + square * series
        series = K4 + square * series
        series = K2 + square * series
        cosines[place] = sign * (np.float32(1.0) + square * series)
