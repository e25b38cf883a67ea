"""What models are asked about: crystals of any make, compositions, formulas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.volumes import estimated_volumes
from materialabs.errors import InputError
from materialabs.networks.graphs import BondGraphs


def as_crystals(given: Any) -> Crystals:
    """Take crystals, pymatgen structures or ASE atoms, one or several; order is required."""
    crystals = given if isinstance(given, Crystals) else _converted(given)
    crystals.require_order("A prediction")
    if len(crystals) and (crystals.counts == 0).any():
        raise InputError(
            f"Crystal {crystals.ids()[int(np.argmin(crystals.counts))]!r} has no atoms."
        )
    return crystals


def _converted(given: Any) -> Crystals:
    items = given if isinstance(given, (list, tuple)) else [given]
    if not items:
        return Crystals.empty()
    home = type(items[0]).__module__.partition(".")[0]
    if home == "pymatgen":
        return Crystals.from_pymatgen(list(items))
    if home == "ase":
        return Crystals.from_ase(list(items))
    raise InputError(
        "Give crystals: what materialabs.read gives, pymatgen structures or ASE atoms, "
        f"not {type(items[0]).__name__}."
    )


def as_compositions(given: Any) -> Compositions:
    """Take formulas, compositions or crystals as compositions."""
    if isinstance(given, Compositions):
        return given
    if isinstance(given, Crystals):
        return given.compositions
    if isinstance(given, str):
        return Compositions.parse([given])
    if isinstance(given, Iterable):
        return Compositions.parse(list(given))
    raise InputError(f"Give formulas, Compositions or Crystals, not {type(given).__name__}.")


def cell_volumes(graphs: BondGraphs | None, compositions: Compositions) -> NDArray[np.float64]:
    """Volumes of the cells [n], cubic angstrom; the usual ones where there is no geometry."""
    if graphs is not None:
        spacing = np.asarray(graphs.spacing, dtype=np.float64)
        return np.asarray(spacing**3 * compositions.atoms)
    try:
        return estimated_volumes(compositions)
    except InputError:  # an element of which no volume is known: the others one by one
        return np.array([_usual_volume(compositions[row]) for row in range(len(compositions))])


def _usual_volume(composition: Compositions) -> float:
    try:
        return float(estimated_volumes(composition)[0])
    except InputError:
        return 1.0
