"""The likeliest oxidation states of a composition, for many compositions at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.elements import (
    COMMON_OXIDATION_STATES,
    ICSD_OXIDATION_STATES,
    OXIDATION_STATES,
    SYMBOLS,
)
from materialabs.generation.ions import parse_ion

BALANCE_TOLERANCE: Final = 1e-6
"""Elementary charges per formula; a smaller sum is neutral."""

COMMON_PRIOR: Final = 1.0
"""Occurrences that a state gains for standing in the list of common states."""

ICSD_PRIOR: Final = 0.3
"""Occurrences that a state gains for standing in the list of states found in the ICSD."""

LISTED_PRIOR: Final = 0.01
"""Occurrences that a state gains for being known at all."""

MIXED_STATES: Final = 6
"""Likeliest states of each element that the search for mixed valence tries."""

MIXED_ELEMENTS: Final = 6
"""Compositions of more elements are not searched for mixed valence."""

BALANCED, MIXED, NEUTRAL = 0, 1, 2
"""How a composition's states came about (:class:`OxidationStates`)."""


@dataclass(frozen=True, eq=False)
class OxidationStates:
    """One oxidation state for each element of each composition.

    Parameters
    ----------
    states
        float64 [M], beside ``compositions.elements``.
    how
        int8 [n]: ``BALANCED`` when the states sum to zero; ``MIXED`` when one element sits
        between two of its states, as iron in Fe3O4, and is written with the nearer one;
        ``NEUTRAL`` when nothing balances, as in most intermetallics: every state is zero.
    """

    states: NDArray[np.float64]
    how: NDArray[np.int8]


def likely_oxidation_states(compositions: Compositions) -> OxidationStates:
    """Choose for each composition the likeliest oxidation states that balance.

    An assignment's likelihood is the product over its elements of how often each state occurs
    in the ICSD (Waroquiers et al., Chem. Mater. 29, 8346 (2017) tabulate such counts; those
    read here ship with pymatgen). Where no assignment balances, one element may be of mixed
    valence between two neighbouring states; where that fails too, all atoms are neutral.
    """
    from materialabs.generation.oxidation_kernels import UNBALANCED, likeliest_states

    states, scores, counts = _state_tables()
    reduced = compositions.reduced()
    chosen = np.zeros(len(reduced.elements))
    best = likeliest_states(
        reduced.elements, reduced.amounts, reduced.offsets, states, scores, counts,
        BALANCE_TOLERANCE, chosen,
    )  # fmt: skip
    how = np.where(best > UNBALANCED, BALANCED, NEUTRAL).astype(np.int8)
    alone = np.diff(reduced.offsets) == 1
    how[alone] = NEUTRAL
    chosen[np.repeat(alone, np.diff(reduced.offsets))] = 0.0
    for index in np.flatnonzero((how == NEUTRAL) & ~alone):
        span = slice(int(reduced.offsets[index]), int(reduced.offsets[index + 1]))
        mixed = _mixed_valence(reduced.elements[span], reduced.amounts[span])
        if mixed is not None:
            chosen[span], how[index] = mixed, MIXED
    return OxidationStates(chosen, how)


def with_oxidation_states(crystals: Crystals) -> Crystals:
    """Give every atom that has no ``oxidation_state`` the likeliest one of its element."""
    compositions = crystals.compositions
    found = likely_oxidation_states(compositions)
    keys = np.repeat(np.arange(len(crystals)), np.diff(compositions.offsets)) * 128
    atoms = np.searchsorted(keys + compositions.elements, crystals.owners * 128 + crystals.numbers)
    guessed = found.states[atoms]
    given = crystals.site_columns.get("oxidation_state")
    if given is not None:
        present = np.asarray(given, dtype=float)
        incomplete = np.bincount(crystals.owners, np.isnan(present), minlength=len(crystals)) > 0
        guessed = np.where(incomplete[crystals.owners], guessed, present)
    return crystals.with_site_columns(oxidation_state=guessed)


def _mixed_valence(
    elements: NDArray[np.uint8], amounts: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """The likeliest states when one element may lie between two neighbouring ones, or nothing."""
    states, scores, counts = _state_tables()
    counts = np.minimum(counts, MIXED_STATES)
    if np.any(counts[elements] == 0) or len(elements) > MIXED_ELEMENTS:
        return None
    grids = np.meshgrid(*(np.arange(counts[number]) for number in elements), indexing="ij")
    ranks = np.stack([grid.ravel() for grid in grids], axis=1)
    values = states[elements[None, :], ranks]
    likelihood = scores[elements[None, :], ranks].sum(axis=1)
    best: tuple[float, NDArray[np.float64]] | None = None
    for place, number in enumerate(elements):
        listed = np.sort(states[number, : counts[number]])
        others = values @ amounts - values[:, place] * amounts[place]
        wanted = -others / amounts[place]
        nearest = listed[np.argmin(np.abs(wanted[:, None] - listed[None, :]), axis=1)]
        inside = (wanted > listed[0]) & (wanted < listed[-1]) & (nearest == values[:, place])
        inside &= (nearest != 0) & (np.sign(wanted) == np.sign(nearest))
        if inside.any():
            row = int(np.argmax(np.where(inside, likelihood, -np.inf)))
            if best is None or likelihood[row] > best[0]:
                best = (float(likelihood[row]), values[row])
    return None if best is None else best[1]


@cache
def _state_tables() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """States [119, s] by falling log-likelihood, these [119, s], and how many are listed [119]."""
    occurrences = _icsd_occurrences()
    rows: list[list[tuple[float, int]]] = []
    for number in range(len(SYMBOLS)):
        weight: dict[int, float] = {}
        for listed, prior in (
            (OXIDATION_STATES, LISTED_PRIOR),
            (ICSD_OXIDATION_STATES, ICSD_PRIOR),
            (COMMON_OXIDATION_STATES, COMMON_PRIOR),
        ):
            for state in listed[number]:
                weight[state] = weight.get(state, 0.0) + prior
        for state in weight:
            weight[state] += occurrences.get((number, float(state)), 0)
        total = sum(weight.values())
        ranked = sorted(weight.items(), key=lambda item: (-item[1], item[0]))
        rows.append([(float(np.log(value / total)), state) for state, value in ranked])
    widest = max(map(len, rows))
    states, scores = np.zeros((len(rows), widest)), np.full((len(rows), widest), -np.inf)
    for number, row in enumerate(rows):
        scores[number, : len(row)] = [score for score, _ in row]
        states[number, : len(row)] = [state for _, state in row]
    return states, scores, np.array([len(row) for row in rows])


@cache
def _icsd_occurrences() -> dict[tuple[int, float], int]:
    """How often each ion stands in the ICSD, from the table that pymatgen ships."""
    text = (resources.files("pymatgen.core") / "icsd_bv.yaml").read_text()
    lines = text.split("occurrence:\n", 1)[1].splitlines()
    counts: dict[tuple[int, float], int] = {}
    for line in lines:
        if not line.startswith("  "):
            break
        name, count = line.strip().split(":")
        number, charge = parse_ion(name)
        counts[number, charge] = int(count)
    return counts
