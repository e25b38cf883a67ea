"""The name of a relaxation: equal for equal starts, level and settings, in any campaign."""

from __future__ import annotations

import hashlib
import json
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.symmetry import primitive
from materialabs.levels import Level
from materialabs.oracles.relaxation import RelaxationSettings

GRID: Final = 1e-4
"""Angstrom and fractions: the cell and the coordinates are rounded to this."""


def task_keys(crystals: Crystals, level: Level, settings: RelaxationSettings) -> list[str]:
    """Name the relaxation of each crystal of a batch.

    The key is the SHA-256 of the standardised primitive cell (its metric, so that orientation in
    space does not count, and its atoms in a fixed order, all rounded to :data:`GRID`), the
    oracle's level and the settings.

    Parameters
    ----------
    crystals
        Where the relaxations start.
    level
        Of the oracle.
    settings
        Of the relaxation.
    """
    cells = primitive(crystals.replace(columns=None, site_columns=None))
    tail = json.dumps([level.to_dict(), settings.to_dict()], sort_keys=True).encode()
    return [hashlib.sha256(_cell_bytes(cells[i]) + tail).hexdigest() for i in range(len(cells))]


def _cell_bytes(crystal: Crystals) -> bytes:
    lattice = crystal.lattice[0]
    lengths = np.linalg.norm(lattice, axis=1)
    cosines = (lattice @ lattice.T) / np.outer(lengths, lengths)
    metric = np.concatenate([lengths, cosines[[0, 0, 1], [1, 2, 2]]])
    atoms = np.column_stack([crystal.numbers.astype(np.int64), _on_grid(crystal.frac)])
    order = np.lexsort(atoms.T[::-1])
    return np.rint(metric / GRID).astype("<i8").tobytes() + atoms[order].astype("<i8").tobytes()


def _on_grid(frac: NDArray[np.float64]) -> NDArray[np.int64]:
    """Coordinates as whole steps of the grid in [0, 1)."""
    steps = round(1.0 / GRID)
    return np.asarray(np.rint(frac * steps).astype(np.int64) % steps)
