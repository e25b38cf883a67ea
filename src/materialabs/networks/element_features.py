"""What a network is told about each element besides its name: scaled tables of the periodic table.

An element that training never showed has an untrained name but known neighbours in this space.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from materialabs import elements

TABLES = (
    "ELECTRONEGATIVITY", "ATOMIC_MASS", "IONIZATION_ENERGY", "ELECTRON_AFFINITY",
    "COVALENT_RADIUS", "ATOMIC_RADIUS", "METALLIC_RADIUS", "VDW_RADIUS", "MOLAR_VOLUME",
    "MELTING_POINT", "VALENCE_ELECTRONS", "VALENCE_S", "VALENCE_P", "VALENCE_D", "VALENCE_F",
    "GROUP", "PERIOD", "MENDELEEV_NUMBER",
)  # fmt: skip
"""Tables of :mod:`materialabs.elements` that are used, each scaled to mean 0 and spread 1."""


@cache
def element_features() -> NDArray[np.float32]:
    """Features of each element [119, d]; row 0 is empty, missing values are the mean (0)."""
    rows = np.column_stack([_scaled(getattr(elements, name)) for name in TABLES])
    rows[0] = 0.0
    features = rows.astype(np.float32)
    features.setflags(write=False)
    return features


def _scaled(table: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = np.nanstd(table)
    return np.asarray(np.nan_to_num((table - np.nanmean(table)) / spread))
