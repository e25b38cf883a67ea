"""The chance that a candidate is what is looked for, from energies drawn together.

Each draw of all energies has a hull of its own, and a candidate's chance is the share of draws in
which it lies on it (Novick et al., Matter 7, 2024, choose compositions by such draws). Taking the
likeliest first gives the most hits that a batch can be expected to hold, one of many polymorphs
being enough: in no draw do two of one formula lie on the hull.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.errors import InputError
from materialabs.hull.hull import ON_HULL
from materialabs.predictions import Prediction

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

TIE: Final = 1e-3
"""How much a mean distance of 1 eV/atom counts beside a chance, so that ties are told apart."""


def chance_on_hull(among: Floats, within: float = ON_HULL) -> Floats:
    """Chance [n] that each candidate lies on the hull of all phases and candidates.

    Parameters
    ----------
    among
        Distance [m, n], eV/atom, of each candidate above the hull of each of m draws.
    within
        Distance up to which a candidate counts as on the hull, eV/atom.
    """
    if among.ndim != 2 or not len(among):
        raise InputError(f"Distances are needed draw by draw, [m, n], not {among.shape}.")
    return np.asarray((among <= within).mean(axis=0))


def likeliest(chance: Floats, distance: Floats, count: int) -> Whole:
    """The candidates that are likeliest to be looked for, of equal ones the nearest.

    Parameters
    ----------
    chance
        [n], of each candidate.
    distance
        [n], mean distance above what is looked for, eV/atom.
    count
        How many to take.
    """
    score = chance - TIE * distance
    return np.argsort(-score, kind="stable")[:count].astype(np.int64)


def likeliest_below(prediction: Prediction, limit: float, count: int) -> Whole:
    """The candidates that are likeliest to have a value of at most ``limit``."""
    return likeliest(prediction.probability_below(limit), prediction.mean - limit, count)


def likeliest_on_hull(among: Floats, count: int) -> Whole:
    """The candidates that are likeliest to lie on the hull, from draws [m, n] of distances."""
    return likeliest(chance_on_hull(among), among.mean(axis=0), count)
