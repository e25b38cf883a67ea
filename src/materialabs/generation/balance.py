"""Rules that say which formulas are chemically sensible: charge balance, strict and relaxed.

A rule is called with compositions and answers true or false for each. Write your own by giving
any class the same ``__call__``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.elements import (
    COMMON_OXIDATION_STATES,
    ICSD_OXIDATION_STATES,
    IS_METAL,
    SYMBOLS,
)
from materialabs.errors import InputError

StateTable = tuple[tuple[int, ...], ...]
"""The oxidation states that an element may take, by atomic number [119]."""

CHARGE_TOLERANCE: Final = 1e-6
"""e per formula; a smaller sum of charges is zero. Whole amounts are summed exactly."""

PEROXIDE_OXYGEN: Final = -1
"""e; oxygen in Li2O2, which neither list of oxidation states counts."""


def _observed_states(number: int) -> tuple[int, ...]:
    states = {*COMMON_OXIDATION_STATES[number], *ICSD_OXIDATION_STATES[number]}
    if SYMBOLS[number] == "O":
        states.add(PEROXIDE_OXYGEN)
    return tuple(sorted(states)) or (0,)


OBSERVED_STATES: Final[StateTable] = tuple(_observed_states(z) for z in range(len(SYMBOLS)))
"""Common oxidation states together with those that ten or more ICSD crystals show, and -1 for
oxygen; 0 where an element has none (the light noble gases)."""

METALLIC_STATES: Final[StateTable] = tuple(
    tuple(sorted({0, *states})) if metal else states
    for states, metal in zip(OBSERVED_STATES, IS_METAL, strict=True)
)
"""Observed states, and 0 for metals, which stand for the metallic form."""


@runtime_checkable
class FormulaRule(Protocol):
    """Anything that says of each composition whether it is allowed."""

    def __call__(self, compositions: Compositions) -> NDArray[np.bool_]:
        """True for the compositions [n] that pass."""
        ...


@dataclass(frozen=True)
class AnyFormula:
    """Every formula passes."""

    def __call__(self, compositions: Compositions) -> NDArray[np.bool_]:
        """True for all [n]."""
        return np.ones(len(compositions), dtype=bool)


@dataclass(frozen=True)
class StrictBalance:
    """Each element takes one listed oxidation state and the charges sum to zero.

    All atoms of an element share one state, so mixed valence (Fe3O4) does not pass. A lone
    element is neutral and passes.

    Parameters
    ----------
    states
        Listed states by atomic number; by default those observed.
    """

    states: StateTable = OBSERVED_STATES

    def __post_init__(self) -> None:
        _check_table(self.states)

    def __call__(self, compositions: Compositions) -> NDArray[np.bool_]:
        """True where the charges can be balanced [n]."""
        from materialabs.generation.balance_kernels import balanced

        values, starts = _flat_states(self.states)
        passed = balanced(
            compositions.elements.astype(np.int64),
            compositions.amounts,
            compositions.offsets,
            values,
            starts,
            CHARGE_TOLERANCE,
        )
        return np.asarray(passed | (np.diff(compositions.offsets) == 1))


@dataclass(frozen=True)
class RelaxedBalance:
    """Balance with oxidation states that may lie between listed ones, as Li15Si4 needs.

    The rule of Merchant et al. (Nature 624, 80, 2023): every element takes a listed state, a
    metal also 0, and up to two elements may lie anywhere between two consecutive listed states;
    the charges sum to zero. Since a sum that is linear in the states can be brought to zero by
    moving one of them at a time, one element between states is as free as any number of them,
    and the rule is the same as this one: the formula passes when the sum of the lowest states is
    not above zero and the sum of the highest is not below.

    Were 0 listed for non-metals too, every formula would pass.

    Parameters
    ----------
    states
        Listed states by atomic number; by default those observed, and 0 for metals.
    """

    states: StateTable = METALLIC_STATES

    def __post_init__(self) -> None:
        _check_table(self.states)

    def __call__(self, compositions: Compositions) -> NDArray[np.bool_]:
        """True where the charges can be balanced [n]."""
        lowest, highest = state_limits(self.states)
        low = _charge_sums(compositions, lowest)
        high = _charge_sums(compositions, highest)
        passed = (low <= CHARGE_TOLERANCE) & (high >= -CHARGE_TOLERANCE)
        return np.asarray(passed | (np.diff(compositions.offsets) == 1))


@cache
def state_limits(states: StateTable) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest listed state of every element, each [119]; infinite where none is."""
    lowest = np.array([min(row, default=np.inf) for row in states], dtype=np.float64)
    highest = np.array([max(row, default=-np.inf) for row in states], dtype=np.float64)
    return lowest, highest


@cache
def _flat_states(states: StateTable) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    values = np.array([state for row in states for state in row], dtype=np.float64)
    starts = np.concatenate([[0], np.cumsum([len(row) for row in states])]).astype(np.int64)
    return values, starts


def _charge_sums(compositions: Compositions, states: NDArray[np.float64]) -> NDArray[np.float64]:
    charges = compositions.amounts * states[compositions.elements]
    rows = np.repeat(np.arange(len(compositions)), np.diff(compositions.offsets))
    return np.bincount(rows, charges, minlength=len(compositions)).astype(np.float64)


def _check_table(states: StateTable) -> None:
    if len(states) != len(SYMBOLS):
        raise InputError(
            f"A table of oxidation states has one row for each atomic number, {len(SYMBOLS)} with "
            f"the empty row 0; this one has {len(states)}."
        )
