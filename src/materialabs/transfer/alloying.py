"""What alloying does, by Miedema's model: heats of formation from constants of the elements.

Two metals that touch equalise the electron density at the boundary of their cells, which costs
energy, and exchange charge by their electronegativities, which gains some (F. R. de Boer et al.,
Cohesion in Metals, 1988; H. Bakker, Enthalpies in Alloys, 1998). The constants were fitted, up to
the 1980s, to which alloys form and to measured heats; elements outside the model, such as oxygen,
get constants that a regression on other elemental properties suggests.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import CHUNK, Descriptors, element_properties, padded
from materialabs.elements import SYMBOLS, atomic_number
from materialabs.errors import InputError

Floats = NDArray[np.float64]

EV_PER_KJ_PER_MOL: Final = 1.0 / 96.4853
"""An energy of 1 kJ/mol in eV an atom."""

CHARGE_FACTORS: Final = (14.2, 12.35, 10.7)
"""P of Miedema's model for two transition metals, one, none: kJ/mol V^-2 cm^-2 d.u.^-1/3."""

DENSITY_PER_CHARGE: Final = 9.4
"""Q/P, V^2 d.u.^-2/3."""

ORDER: Final = 8.0
"""Ordered compounds touch unlike neighbours more often: factor 1 + 8 (surface fractions)^2."""

VOLUME_STEPS: Final = 5
"""Rounds in which volumes in the alloy and surface fractions are made consistent."""

RIDGE: Final = 3.0
"""Strength of the regression that fills the constants of elements outside the model."""

STATISTICS: Final = ("mean", "average deviation", "minimum", "maximum")

TRANSITION: Final = frozenset({*range(21, 30), *range(39, 48), *range(57, 80), *range(89, 113)})
"""Atomic numbers of what Miedema's model counts as transition metals."""

PROPERTIES: Final = (
    "Miedema electronegativity (V)", "cube root of the electron density", "surface of an atom",
    "bulk modulus (GPa)", "shear modulus (GPa)",
)  # fmt: skip


def alloying_descriptors(compositions: Compositions) -> Descriptors:
    """Describe compositions by Miedema's heat of formation, its parts, and their ingredients.

    Parameters
    ----------
    compositions
        n compositions, each with at least one element.

    Returns
    -------
    Descriptors
        [n, 30]; energies in eV/atom.
    """
    if np.any(np.diff(compositions.offsets) == 0):
        raise InputError("A composition without elements cannot be described.")
    names = (
        "heat of formation (eV/atom)", "heat without phase changes (eV/atom)",
        "charge transfer (eV/atom)", "density mismatch (eV/atom)", "hybridisation (eV/atom)",
        "phase changes (eV/atom)", "entropy of mixing", "size mismatch", "surface mismatch",
        "elastic mismatch",
        *(f"{one}: {statistic}" for one in PROPERTIES for statistic in STATISTICS),
    )  # fmt: skip
    parts = [
        _described(compositions[start : start + CHUNK])
        for start in range(0, len(compositions), CHUNK)
    ]
    return Descriptors(np.concatenate(parts) if parts else np.zeros((0, len(names))), names)


def heats_of_formation(compositions: Compositions) -> Floats:
    """Miedema's heat of formation of ordered compounds [n], eV/atom, phase changes left out."""
    numbers, fractions = padded(compositions)
    return np.asarray(_interactions(numbers, fractions).sum(axis=1))


@lru_cache(maxsize=1)
def constants() -> Floats:
    """The model's constants [119, 8] by atomic number, without gaps.

    Columns: electronegativity (V), cube root of the electron density (d.u.^1/3), surface of an
    atom (cm^2, molar volume^2/3), change of volume, hybridisation, phase change (kJ/mol), bulk and
    shear modulus (GPa).
    """
    text = resources.files("materialabs.transfer").joinpath("miedema.json").read_text("utf-8")
    table = np.full((len(SYMBOLS), 8), np.nan)
    for symbol, row in json.loads(text)["elements"].items():
        values = np.array([np.nan if value is None else value for value in row])
        values[1], values[2] = np.cbrt(values[1]), values[2] ** (2.0 / 3.0)
        table[atomic_number(symbol)] = values
    filled = np.stack([_filled(column) for column in table.T], axis=1)
    filled[0] = 0.0
    filled.setflags(write=False)
    return filled


def _filled(column: Floats) -> Floats:
    """A constant [119] with its gaps filled by ridge regression on elemental properties."""
    _, properties = element_properties()
    known = np.isfinite(column)
    centre, spread = properties[known].mean(axis=0), properties[known].std(axis=0)
    scaled = (properties - centre) / np.where(spread > 0, spread, 1.0)
    table, middle = scaled[known], column[known].mean()
    pull = table.T @ table + RIDGE * np.eye(table.shape[1])
    weights = np.linalg.solve(pull, table.T @ (column[known] - middle))
    guess = np.clip(middle + scaled @ weights, column[known].min(), column[known].max())
    return np.where(known, column, guess)


def _described(compositions: Compositions) -> Floats:
    numbers, fractions = padded(compositions)
    parts = _interactions(numbers, fractions)
    table = constants()[numbers]
    phase = np.sum(fractions * table[:, :, 5], axis=1) * EV_PER_KJ_PER_MOL
    heat = parts.sum(axis=1)
    stated = [_statistics(table[:, :, column], fractions) for column in (0, 1, 2, 6, 7)]
    return np.column_stack(
        [heat + phase, heat, parts, phase, _mismatches(table, fractions), *stated]
    )


def _interactions(numbers: NDArray[np.int64], fractions: Floats) -> Floats:
    """Charge transfer, density mismatch and hybridisation [n, 3], eV/atom, all pairs summed."""
    table = constants()[numbers]
    present = fractions > 0
    potential, hybrid = table[:, :, 0], table[:, :, 4]
    density = np.where(present, table[:, :, 1], 1.0)
    surface = _surfaces(table, fractions)
    share = fractions * surface
    share = share / share.sum(axis=1, keepdims=True)
    touching = share[:, :, None] * share[:, None, :]
    contact = (fractions * surface)[:, :, None] * share[:, None, :] * (1.0 + ORDER * touching**2)
    screening = 1.0 / density[:, :, None] + 1.0 / density[:, None, :]
    metals = np.isin(numbers, list(TRANSITION)).astype(np.int64)
    kinds = metals[:, :, None] + metals[:, None, :]
    charge = np.array(CHARGE_FACTORS[::-1])[kinds]
    weight = contact / screening * charge * EV_PER_KJ_PER_MOL  # each pair twice: the factor 2
    potential_gap = potential[:, :, None] - potential[:, None, :]
    density_gap = density[:, :, None] - density[:, None, :]
    mixed = np.where(kinds == 1, hybrid[:, :, None] * hybrid[:, None, :], 0.0)
    parts = (-(potential_gap**2), DENSITY_PER_CHARGE * density_gap**2, -mixed)
    return np.stack([np.sum(weight * part, axis=(1, 2)) for part in parts], axis=1)


def _surfaces(table: Floats, fractions: Floats) -> Floats:
    """Surfaces of the atoms in the alloy [n, k], changed by the charge they exchange."""
    potential, free = table[:, :, 0], table[:, :, 2]
    surface = free.copy()
    for _ in range(VOLUME_STEPS):
        share = fractions * surface
        share = share / share.sum(axis=1, keepdims=True)
        surrounding = np.sum(share * potential, axis=1, keepdims=True)
        surface = free * (1.0 + table[:, :, 3] * (potential - surrounding))
    return surface


def _mismatches(table: Floats, fractions: Floats) -> Floats:
    """Entropy of mixing in units of k, and relative deviations of radius, surface, modulus."""
    entropy = -np.sum(np.where(fractions > 0, fractions * np.log(fractions + 1e-300), 0.0), axis=1)
    radius = np.sqrt(table[:, :, 2])
    spreads = [_deviation(values, fractions) for values in (radius, table[:, :, 2], table[:, :, 6])]
    return np.column_stack([entropy, *spreads])


def _deviation(values: Floats, fractions: Floats) -> Floats:
    mean = np.sum(fractions * values, axis=1)
    relative = 1.0 - values / np.where(mean > 0, mean, 1.0)[:, None]
    return np.asarray(np.sqrt(np.sum(fractions * relative**2, axis=1)))


def _statistics(values: Floats, fractions: Floats) -> Floats:
    """Mean, average deviation, minimum and maximum over the elements [n, 4]."""
    present = fractions > 0
    mean = np.sum(fractions * values, axis=1)
    return np.stack(
        [
            mean,
            np.sum(fractions * np.abs(values - mean[:, None]), axis=1),
            np.where(present, values, np.inf).min(axis=1),
            np.where(present, values, -np.inf).max(axis=1),
        ],
        axis=1,
    )
