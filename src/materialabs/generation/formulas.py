"""All reduced formulas of a chemical system up to a number of atoms, and how many there are.

The number grows about as atoms^elements / elements!: up to 12 atoms a ternary system has 334
formulas and a quaternary 1,537; up to 20 atoms a quaternary has 9,373 and a quinary 49,586.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import comb
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.formula_texts import parse_system
from materialabs.errors import InputError, ResourceError
from materialabs.generation.balance import AnyFormula, FormulaRule, RelaxedBalance, state_limits

DEFAULT_ATOMS: Final = 12
"""Atoms in the largest formula listed by default."""

MOST_ATOMS: Final = 255
"""Amounts are kept in one byte each."""

MOST_FORMULAS: Final = 20_000_000
"""More are not made in one piece (about 2 GB); :func:`stream_formulas` makes any number."""

CHUNK: Final = 100_000
"""Formulas made at a time."""


def formulas(
    system: str,
    *,
    atoms: int = DEFAULT_ATOMS,
    rule: FormulaRule | None = None,
    fewest_elements: int = 1,
) -> Compositions:
    """List the reduced formulas of a chemical system that a rule allows.

    Parameters
    ----------
    system
        Elements joined by hyphens, ``"Li-P-S"``.
    atoms
        Largest number of atoms in a formula.
    rule
        What a formula must satisfy, such as ``RelaxedBalance()``; by default nothing.
    fewest_elements
        Formulas with fewer elements are left out: 1 keeps the elements and all smaller systems,
        the number of elements of the system keeps the full system alone.

    Returns
    -------
    The formulas by rising number of atoms, then by falling amount of the lightest elements;
    always in the same order.
    """
    elements = _checked_system(system, atoms, fewest_elements)
    total = count_formulas(len(elements), atoms=atoms, fewest_elements=fewest_elements)
    if total > MOST_FORMULAS:
        raise ResourceError(
            f"{system} has {total:,} formulas up to {atoms} atoms, more than are listed in one "
            "piece: lower atoms, or go through stream_formulas.",
            code="formulas.too_many",
        )
    found = stream_formulas(system, atoms=atoms, rule=rule, fewest_elements=fewest_elements)
    return Compositions.concat(list(found))


def stream_formulas(
    system: str,
    *,
    atoms: int = DEFAULT_ATOMS,
    rule: FormulaRule | None = None,
    fewest_elements: int = 1,
) -> Iterator[Compositions]:
    """Yield what :func:`formulas` lists, in the same order, a part at a time."""
    elements = np.array(_checked_system(system, atoms, fewest_elements), dtype=np.uint8)
    allowed = AnyFormula() if rule is None else rule
    for amounts in _amounts(len(elements), atoms, fewest_elements):
        compositions = from_amounts(elements, amounts)
        passed = allowed(compositions)
        yield compositions if passed.all() else compositions[passed]


def _amounts(kinds: int, atoms: int, fewest_elements: int) -> Iterator[NDArray[np.uint8]]:
    from materialabs.generation.formula_kernels import fill_amounts

    state = np.zeros(kinds + 1, dtype=np.int64)
    state[0] = state[kinds] = 1
    total = count_formulas(kinds, atoms=atoms, fewest_elements=fewest_elements)
    while total > 0:
        out = np.empty((min(total, CHUNK), kinds), dtype=np.uint8)
        total -= fill_amounts(state, atoms, fewest_elements, out)
        yield out


def from_amounts(elements: NDArray[np.uint8], amounts: NDArray[np.uint8]) -> Compositions:
    """Compositions of a table of amounts [n, k] over elements [k] by rising atomic number."""
    present = amounts > 0
    offsets = np.zeros(len(amounts) + 1, dtype=np.int64)
    np.cumsum(present.sum(axis=1), out=offsets[1:])
    return Compositions(
        np.broadcast_to(elements, amounts.shape)[present],
        amounts[present].astype(np.float64),
        offsets,
    )


def count_formulas(
    elements: int,
    *,
    atoms: int = DEFAULT_ATOMS,
    fewest_elements: int = 1,
    most_elements: int | None = None,
) -> int:
    """Count the reduced formulas of so many elements, without listing them.

    Parameters
    ----------
    elements
        How many elements there are to choose from, 94 for the periodic table up to Pu.
    atoms
        Largest number of atoms in a formula.
    fewest_elements, most_elements
        Limits on the elements of one formula.

    Notes
    -----
    With k given elements all present, C(M, k) vectors of whole amounts sum to at most M; those
    without a common divisor are counted by Moebius inversion over the divisor.
    """
    most = elements if most_elements is None else min(most_elements, elements)
    return sum(
        comb(elements, kinds)
        * sum(_moebius(divisor) * comb(atoms // divisor, kinds) for divisor in range(1, atoms + 1))
        for kinds in range(max(fewest_elements, 1), most + 1)
    )


def count_relaxed(
    elements: tuple[int, ...],
    *,
    atoms: int = DEFAULT_ATOMS,
    fewest_elements: int = 1,
    most_elements: int | None = None,
    rule: RelaxedBalance | None = None,
) -> int:
    """Count the formulas that pass the relaxed rule, exactly and without listing them.

    A formula fails when even its lowest states sum above zero or even its highest sum below; the
    two exclude each other, and each is counted by adding one element after the other while only
    the charge, the atoms and the number of elements are remembered.

    Parameters
    ----------
    elements
        Atomic numbers to choose from.
    atoms, fewest_elements, most_elements
        As in :func:`count_formulas`.
    rule
        The rule with its table of states.
    """
    most = len(elements) if most_elements is None else min(most_elements, len(elements))
    limits = {"atoms": atoms, "fewest_elements": fewest_elements, "most_elements": most}
    total = count_formulas(len(elements), **limits)
    lowest, highest = state_limits((rule or RelaxedBalance()).states)
    chosen = list(elements)
    positive = _count_positive(lowest[chosen], **limits)
    negative = _count_positive(-highest[chosen], **limits)
    lone = 0
    if fewest_elements <= 1 <= most:
        lone = int(((lowest[chosen] > 0) | (highest[chosen] < 0)).sum())
    return total - positive - negative + lone


def _count_positive(
    charges: NDArray[np.float64], *, atoms: int, fewest_elements: int, most_elements: int
) -> int:
    """Reduced formulas whose charges [k], each a whole number, sum above zero."""
    if not np.all(np.isfinite(charges)):
        raise InputError("Every element needs a listed oxidation state to be counted.")
    largest = max(int(np.abs(charges).max(initial=0)), 1) * atoms
    table = np.zeros((most_elements + 1, atoms + 1, 2 * largest + 1), dtype=object)
    table[0, 0, largest] = 1
    for charge in charges.astype(np.int64):
        grown = table.copy()
        for amount in range(1, atoms + 1):
            shift = int(amount * charge)
            grown[1:, amount:] += _shifted(table[:-1, : atoms + 1 - amount], shift)
        table = grown
    by_atoms = table[max(fewest_elements, 1) :, :, largest + 1 :].sum(axis=(0, 2))
    up_to = np.cumsum(by_atoms)
    return int(sum(_moebius(d) * up_to[atoms // d] for d in range(1, atoms + 1)))


def _shifted(table: NDArray[np.object_], shift: int) -> NDArray[np.object_]:
    """The table with its last axis moved up by ``shift``; what falls off the end is empty."""
    moved = np.zeros_like(table)
    width = table.shape[-1]
    if shift >= 0:
        moved[..., shift:] = table[..., : width - shift]
    else:
        moved[..., :shift] = table[..., -shift:]
    return moved


@cache
def _moebius(number: int) -> int:
    """Moebius function: 0 with a squared prime factor, else plus or minus one."""
    sign, rest, prime = 1, number, 2
    while rest > 1:
        if rest % prime == 0:
            rest //= prime
            if rest % prime == 0:
                return 0
            sign = -sign
        prime += 1
    return sign


def _checked_system(system: str, atoms: int, fewest_elements: int) -> tuple[int, ...]:
    elements = parse_system(system)
    if not (isinstance(atoms, (int, np.integer)) and 1 <= atoms <= MOST_ATOMS):
        raise InputError(f"The number of atoms is whole, from 1 to {MOST_ATOMS}, not {atoms}.")
    if fewest_elements < 1:
        raise InputError(f"A formula has at least one element, not {fewest_elements}.")
    return elements
