"""From the features of atoms to their energies, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from materialabs.oracles.chgnet_weights import Weights

Array = NDArray[np.float32]

NORM_MARGIN = np.float32(1e-5)
"""Added to the variance in a layer norm."""

LEAST_EXPONENT = np.float32(-80.0)
"""Below it silu is nothing, and the exponential would overflow."""


def read_out(weights: Weights, atoms: Array) -> tuple[NDArray[np.float64], Array]:
    """Energy of every atom [N] in eV, and the slope of their sum by the features [N, 64]."""
    away = atoms - atoms.mean(1, keepdims=True)
    size = 1.0 / np.sqrt((away * away).mean(1, keepdims=True) + NORM_MARGIN)
    normed = away * size
    hidden = np.asarray(normed * weights.norm_scale + weights.norm_shift, dtype=np.float32)
    slopes: list[Array] = []
    for matrix, bias in weights.readout[:-1]:
        x = hidden @ matrix + bias
        share = 1.0 / (1.0 + np.exp(-np.maximum(x, LEAST_EXPONENT)))
        hidden = np.asarray(x * share, dtype=np.float32)
        slopes.append(np.asarray(share * (1.0 + x * (1.0 - share)), dtype=np.float32))
    last, bias = weights.readout[-1]
    energies = (hidden @ last + bias)[:, 0].astype(np.float64)
    slope: NDArray[np.floating] = np.broadcast_to(last[:, 0], hidden.shape)
    for (matrix, _), factor in zip(weights.readout[-2::-1], reversed(slopes), strict=True):
        slope = (slope * factor) @ matrix.T
    slope = slope * weights.norm_scale
    across = slope - slope.mean(1, keepdims=True)
    along = (slope * normed).mean(1, keepdims=True)
    return energies, np.ascontiguousarray((across - normed * along) * size, dtype=np.float32)
