"""What can be told about a prediction's error before the truth is known, and groups of crystals."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.elements import IS_METAL, SYMBOLS, atomic_number

Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]

DANGEROUS: Final = (
    "log_spread", "log_scale", "log_distance", "rarity", "volume", "log_apart", "log_hard",
)  # fmt: skip
"""Signals that may only widen an interval as they rise."""

MANY_ELEMENTS: Final = 5
"""Crystals of this many elements or more form one group: there are few of them."""

WITH_DIFFICULTY: Final = ("log_spread", "log_apart", "log_hard")
"""The signals that count where outsiders have taught what is hard: what the others tell is in it,
and every signal more is fitted on a few held-out crystals."""

SPREAD_FLOOR: Final = 1e-6
"""Added to a spread or a distance before its logarithm, in its own unit."""

ANIONS: Final = {
    "oxide": ("O",),
    "halide": ("F", "Cl", "Br", "I"),
    "chalcogenide": ("S", "Se", "Te"),
    "pnictide": ("N", "P", "As", "Sb"),
}
"""Families by an element that they contain; a crystal may belong to several."""


def chemical_groups(compositions: Compositions) -> dict[str, Truths]:
    """Membership of each crystal in chemical families and in groups by number of elements.

    Oxides, halides, chalcogenides (S, Se, Te) and pnictides contain such an element, alone or
    with others; in intermetallics every element is a metal.
    """
    kinds = np.diff(compositions.offsets)
    groups = {_counted(n): kinds == n for n in range(1, MANY_ELEMENTS)}
    groups[f"{MANY_ELEMENTS} or more elements"] = kinds >= MANY_ELEMENTS
    for family, symbols in ANIONS.items():
        amounts = compositions.dense([atomic_number(symbol) for symbol in symbols])
        groups[family] = amounts.sum(axis=1) > 0
    non_metals = [number for number in range(1, len(SYMBOLS)) if not IS_METAL[number]]
    groups["intermetallic"] = compositions.dense(non_metals).sum(axis=1) == 0
    return groups


def error_signals(
    mean: Floats,
    members: Floats,
    *,
    distance: Floats | None = None,
    rarity: Floats | None = None,
    volume: Floats | None = None,
    sibling: Floats | None = None,
    hard: Floats | None = None,
) -> dict[str, Floats]:
    """The signals that a calibration learns from.

    Parameters
    ----------
    mean
        [n], predicted values.
    members
        [m, n], answers of the members of the ensemble.
    distance
        [n], from the crystals learned from (:mod:`materialabs.networks.domain`).
    rarity
        [n], rising with how seldom the rarest element was learned from.
    volume
        [n], how far the atomic volume is from the usual one, in logarithms.
    sibling
        [n], predicted values of the head that is most like this one
        (:func:`materialabs.networks.heads.sibling_of`).
    hard
        [n], logarithm of the likely error (:mod:`materialabs.networks.difficulty`).
    """
    signals = {"log_spread": np.log(np.std(members, axis=0) + SPREAD_FLOOR), "mean": mean}
    if distance is not None:
        signals["log_distance"] = np.log(distance + SPREAD_FLOOR)
    if rarity is not None:
        signals["rarity"] = rarity
    if volume is not None:
        signals["volume"] = np.abs(volume)
    if sibling is not None:
        signals["log_apart"] = np.log(np.abs(mean - sibling) + SPREAD_FLOOR)
    if hard is not None:
        signals["log_hard"] = hard
    return signals


def signals_with_difficulty(
    mean: Floats, members: Floats, sibling: Floats | None, hard: Floats
) -> dict[str, Floats]:
    """The few signals that count where outsiders have taught what is hard.

    Parameters as in :func:`error_signals`.
    """
    signals = error_signals(mean, members, sibling=sibling, hard=hard)
    return {name: signals[name] for name in WITH_DIFFICULTY if name in signals}


def _counted(number: int) -> str:
    return f"{number} element{'' if number == 1 else 's'}"
