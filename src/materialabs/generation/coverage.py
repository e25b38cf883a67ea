"""How much of what is chemically possible has been looked at.

The possible formulas are the reduced formulas up to a number of atoms that a rule allows; a
formula is covered when at least one crystal has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.formula_texts import parse_system
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError
from materialabs.generation.balance import AnyFormula, FormulaRule, RelaxedBalance
from materialabs.generation.formulas import (
    DEFAULT_ATOMS,
    MOST_ATOMS,
    count_formulas,
    count_relaxed,
    from_amounts,
    stream_formulas,
)

WHOLE: Final = 1e-6
"""An amount this close to a whole number is that number."""

REMAINDERS_SHOWN: Final = 1000
"""Formulas without a crystal that are kept in a report."""


@dataclass(frozen=True, eq=False)
class Coverage:
    """How many of the possible formulas have at least one crystal.

    Parameters
    ----------
    by_elements
        For each number of elements in a formula: how many formulas are possible and how many
        of them are covered.
    atoms
        Atoms in the largest formula counted.
    uncovered
        Possible formulas without a crystal, by rising number of atoms, the first thousand; empty
        where the formulas were counted without listing them.
    """

    by_elements: dict[int, tuple[int, int]]
    atoms: int
    uncovered: tuple[str, ...] = ()

    @property
    def possible(self) -> int:
        """Formulas that the rule allows."""
        return sum(possible for possible, _ in self.by_elements.values())

    @property
    def covered(self) -> int:
        """Those that at least one crystal has."""
        return sum(covered for _, covered in self.by_elements.values())

    @property
    def share(self) -> float:
        """Covered over possible, 0 to 1; NaN when nothing is possible."""
        return self.covered / self.possible if self.possible else float("nan")

    def __str__(self) -> str:
        lines = [
            f"{self.covered:,} of {self.possible:,} formulas up to {self.atoms} atoms have a "
            f"crystal ({self.share:.3%})"
        ]
        lines += [
            f"{kinds} element{'s' if kinds > 1 else ''}: {covered:,} of {possible:,}"
            for kinds, (possible, covered) in sorted(self.by_elements.items())
        ]
        return "\n".join(lines)


def coverage(
    system: str,
    known: Compositions,
    *,
    atoms: int = DEFAULT_ATOMS,
    rule: FormulaRule | None = None,
    fewest_elements: int = 1,
) -> Coverage:
    """Say how many of a system's possible formulas have a crystal, and which have none.

    Parameters
    ----------
    system
        Elements joined by hyphens, ``"Li-P-S"``.
    known
        Compositions of the crystals there are, ``crystals.compositions``; those outside the
        system, larger, or with fractional amounts do not count.
    atoms
        Atoms in the largest formula.
    rule
        What a formula must satisfy; by default nothing.
    fewest_elements
        Formulas with fewer elements are left out.
    """
    elements = parse_system(system)
    seen = np.unique(_codes(_table(known, elements, atoms)))
    counts: dict[int, tuple[int, int]] = {}
    uncovered: list[str] = []
    for found in stream_formulas(system, atoms=atoms, rule=rule, fewest_elements=fewest_elements):
        covered = np.isin(_codes(_table(found, elements, atoms)), seen)
        for kinds, (possible, known_ones) in _tally(found, covered).items():
            before = counts.get(kinds, (0, 0))
            counts[kinds] = (before[0] + possible, before[1] + known_ones)
        room = REMAINDERS_SHOWN - len(uncovered)
        if room > 0:
            uncovered += found[np.flatnonzero(~covered)[:room]].reduced_formulas()
    return Coverage(counts, atoms, tuple(uncovered))


def coverage_of_elements(
    elements: tuple[int, ...],
    known: Compositions,
    *,
    most_elements: int,
    atoms: int = DEFAULT_ATOMS,
    rule: AnyFormula | RelaxedBalance | None = None,
) -> Coverage:
    """Say how many formulas of a whole set of elements have a crystal, without listing them.

    The possible formulas are counted exactly, which can be done for any formula and for the
    relaxed rule; the 1.4e10 formulas of
    94 elements, up to 4 at a time and 20 atoms, take about a second.

    Parameters
    ----------
    elements
        Atomic numbers to choose from, such as ``range(1, 95)``.
    known
        Compositions of the crystals there are.
    most_elements
        Elements in a formula at most.
    atoms
        Atoms in the largest formula.
    rule
        ``AnyFormula()`` (the default) or ``RelaxedBalance()``.
    """
    chosen = tuple(sorted(set(elements)))
    if not chosen or not 1 <= chosen[0] <= chosen[-1] < len(SYMBOLS):
        raise InputError(f"Elements are given by atomic numbers from 1 to {len(SYMBOLS) - 1}.")
    if rule is not None and not isinstance(rule, (AnyFormula, RelaxedBalance)):
        raise InputError(
            f"{type(rule).__name__} cannot be counted without listing every formula: take "
            "AnyFormula or RelaxedBalance, or coverage() of one system."
        )
    allowed = AnyFormula() if rule is None else rule
    table = np.unique(_table(known, chosen, atoms), axis=0)
    rows = from_amounts(np.array(chosen, dtype=np.uint8), table)
    rows = rows[allowed(rows)]
    have = np.bincount(np.diff(rows.offsets), minlength=most_elements + 1)
    counts = {
        kinds: (_possible(chosen, kinds, atoms, allowed), int(have[kinds]))
        for kinds in range(1, most_elements + 1)
    }
    return Coverage(counts, atoms)


def _possible(
    elements: tuple[int, ...], kinds: int, atoms: int, rule: AnyFormula | RelaxedBalance
) -> int:
    if isinstance(rule, RelaxedBalance):
        return count_relaxed(
            elements, atoms=atoms, fewest_elements=kinds, most_elements=kinds, rule=rule
        )
    return count_formulas(len(elements), atoms=atoms, fewest_elements=kinds, most_elements=kinds)


def _table(compositions: Compositions, elements: tuple[int, ...], atoms: int) -> NDArray[np.uint8]:
    """Reduced whole amounts [m, k] of those compositions that fit the system and the size."""
    reduced = compositions.reduced()
    inside = np.isin(reduced.elements, elements)
    whole = np.abs(reduced.amounts - np.rint(reduced.amounts)) < WHOLE
    rows = np.repeat(np.arange(len(reduced)), np.diff(reduced.offsets))
    outside = np.bincount(rows, ~(inside & whole), minlength=len(reduced)) > 0
    fitting = ~outside & (reduced.atoms <= min(atoms, MOST_ATOMS) + WHOLE)
    return np.rint(reduced[fitting].dense(elements)).astype(np.uint8)


def _codes(table: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """One sortable value for each row."""
    packed = np.ascontiguousarray(table)
    return packed.view(f"S{table.shape[1]}").ravel()


def _tally(found: Compositions, covered: NDArray[np.bool_]) -> dict[int, tuple[int, int]]:
    kinds = np.diff(found.offsets)
    return {
        int(number): (int((kinds == number).sum()), int((covered & (kinds == number)).sum()))
        for number in np.unique(kinds)
    }
