"""Chemical compositions as columns: formulas in, amounts, fractions and formulas out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs.crystals.formula_texts import parse_formula
from materialabs.elements import ELECTRONEGATIVITY, SYMBOLS

POLYANION_ELECTRONEGATIVITY_GAP = 1.65
"""Two last elements closer than this are written as a group, (PO4)2 (pymatgen's convention)."""

AMOUNT_TOLERANCE = 1e-8
"""Amounts closer than this to a whole number are that number."""


@dataclass(frozen=True, eq=False)
class Compositions:
    """Amounts of the elements in each of many compositions, ragged, by rising atomic number.

    Parameters
    ----------
    elements
        uint8 [M], atomic numbers, rising inside each composition.
    amounts
        float64 [M], amounts in the same order, all above zero.
    offsets
        int64 [n+1]; composition i is ``elements[offsets[i]:offsets[i+1]]``.
    """

    elements: NDArray[np.uint8]
    amounts: NDArray[np.float64]
    offsets: NDArray[np.int64]

    @classmethod
    def parse(cls, formulas: Iterable[str]) -> Self:
        """Read formulas; the first that does not parse is named."""
        return cls.from_dicts([_parse_cached(formula) for formula in formulas])

    @classmethod
    def from_dicts(cls, amounts: Sequence[dict[int, float]]) -> Self:
        """Build from {atomic number: amount} of each composition."""
        rows = [sorted(row.items()) for row in amounts]
        flat = [pair for row in rows for pair in row]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return cls(
            np.array([number for number, _ in flat], dtype=np.uint8),
            np.array([amount for _, amount in flat], dtype=np.float64),
            offsets,
        )

    @classmethod
    def from_atoms(
        cls,
        numbers: NDArray[np.uint8],
        offsets: NDArray[np.int64],
        weights: NDArray[np.float64] | None = None,
    ) -> Self:
        """Count the atoms of a ragged batch.

        Parameters
        ----------
        numbers
            uint8 [N], atomic numbers.
        offsets
            int64 [n+1], where each crystal's atoms start.
        weights
            float64 [N], the amount that each atom counts for; one by default.
        """
        count = len(offsets) - 1
        owner = np.repeat(np.arange(count, dtype=np.int64), np.diff(offsets))
        keys, inverse = np.unique(owner * 128 + numbers, return_inverse=True)
        amounts = np.bincount(inverse, weights=weights, minlength=len(keys)).astype(np.float64)
        starts = np.searchsorted(keys, np.arange(count + 1, dtype=np.int64) * 128)
        return cls((keys % 128).astype(np.uint8), amounts, starts.astype(np.int64))

    @classmethod
    def concat(cls, batches: Sequence[Compositions]) -> Self:
        """Join batches in order."""
        if not batches:
            return cls.from_dicts([])
        sizes = np.concatenate([np.diff(batch.offsets) for batch in batches])
        return cls(
            np.concatenate([batch.elements for batch in batches]),
            np.concatenate([batch.amounts for batch in batches]),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, selection: int | slice | ArrayLike) -> Compositions:
        rows = chosen_rows(len(self), selection)
        gathered, offsets = ragged_rows(self.offsets, rows)
        return Compositions(self.elements[gathered], self.amounts[gathered], offsets)

    def __iter__(self) -> Iterator[dict[int, float]]:
        for start, stop in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield dict(
                zip(
                    self.elements[start:stop].tolist(),
                    self.amounts[start:stop].tolist(),
                    strict=True,
                )
            )

    @property
    def atoms(self) -> NDArray[np.float64]:
        """Total amount of each composition [n]."""
        return _sum_rows(self.amounts, self.offsets)

    def present(self) -> tuple[int, ...]:
        """Atomic numbers that occur anywhere in the batch, rising."""
        return tuple(np.unique(self.elements).tolist())

    def dense(self, elements: Sequence[int]) -> NDArray[np.float64]:
        """Amounts as a table [n, k] over the given atomic numbers; others are left out."""
        column = np.full(256, -1, dtype=np.int64)
        column[np.asarray(elements, dtype=np.int64)] = np.arange(len(elements))
        rows = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        columns = column[self.elements]
        known = columns >= 0
        table = np.zeros((len(self), len(elements)))
        table[rows[known], columns[known]] = self.amounts[known]
        return table

    def fractions(self, elements: Sequence[int]) -> NDArray[np.float64]:
        """Atomic fractions as a table [n, k] over the given atomic numbers."""
        return self.dense(elements) / self.atoms[:, None]

    def reduced(self) -> Compositions:
        """Divide whole amounts by their common divisor; fractional ones stay as they are."""
        sizes = np.diff(self.offsets)
        starts = self.offsets[:-1][sizes > 0]
        if len(starts) == 0:
            return self
        whole = np.rint(self.amounts)
        exact = np.abs(self.amounts - whole) < AMOUNT_TOLERANCE
        integral = np.logical_and.reduceat(exact, starts)
        divisors = np.gcd.reduceat(np.maximum(whole, 1).astype(np.int64), starts)
        per_entry = np.repeat(np.where(integral, divisors, 1), sizes[sizes > 0])
        values = np.where(np.repeat(integral, sizes[sizes > 0]), whole, self.amounts)
        return Compositions(self.elements, values / per_entry, self.offsets)

    def reduced_formulas(self) -> list[str]:
        """Conventional reduced formulas: electronegativity order, groups bracketed, O2 for O."""
        return [_reduced_formula(key) for key in self.reduced()._keys()]

    def formulas(self) -> list[str]:
        """Full formulas by rising electronegativity, for example ``Sc4Zn2Se8``."""
        return [_plain_formula(key) for key in self._keys()]

    def systems(self) -> list[str]:
        """Chemical systems, alphabetical: ``Li-P-S``."""
        return [
            "-".join(sorted(SYMBOLS[number] for number in self.elements[start:stop]))
            for start, stop in zip(self.offsets[:-1], self.offsets[1:], strict=True)
        ]

    def masks(self) -> NDArray[np.uint64]:
        """Elements present as bits [n, 2]: element Z sets bit Z % 64 of word Z // 64."""
        words = np.zeros((len(self), 2), dtype=np.uint64)
        rows = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        bits = np.uint64(1) << (self.elements % 64).astype(np.uint64)
        np.bitwise_or.at(words, (rows, self.elements // 64), bits)
        return words

    def _keys(self) -> Iterator[tuple[tuple[int, float], ...]]:
        pairs = list(zip(self.elements.tolist(), self.amounts.tolist(), strict=True))
        offsets = self.offsets.tolist()
        for start, stop in itertools.pairwise(offsets):
            yield tuple(pairs[start:stop])


def chosen_rows(count: int, selection: int | slice | ArrayLike) -> NDArray[np.int64]:
    """The positions that an index, a slice, a mask or a list of positions chooses."""
    everything = np.arange(count, dtype=np.int64)
    if isinstance(selection, (int, slice)):
        return np.atleast_1d(everything[selection])
    places = np.asarray(selection)
    return np.atleast_1d(everything[places if places.size else places.astype(np.int64)])


def ragged_rows(
    offsets: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the members of chosen rows of a ragged array, and the new offsets."""
    sizes = np.diff(offsets)[rows]
    chosen = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(sizes, out=chosen[1:])
    shift = np.repeat(offsets[:-1][rows] - chosen[:-1], sizes)
    return np.arange(chosen[-1], dtype=np.int64) + shift, chosen


def _sum_rows(values: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums over ragged rows, each apart from the others so that nothing is lost to rounding."""
    sums = np.zeros(len(offsets) - 1)
    filled = offsets[1:] > offsets[:-1]
    if filled.any():
        sums[filled] = np.add.reduceat(values, offsets[:-1][filled])
    return sums


@lru_cache(maxsize=65536)
def _parse_cached(formula: str) -> dict[int, float]:
    return parse_formula(formula)


def _amount_text(amount: float) -> str:
    """An amount to six digits, nothing for one; never with an exponent, which no formula has."""
    if abs(amount - 1.0) < AMOUNT_TOLERANCE:
        return ""
    whole = round(amount)
    if whole and abs(amount - whole) < AMOUNT_TOLERANCE:
        return str(whole)
    return np.format_float_positional(float(f"{round(amount, 8) or amount:g}"), trim="-")


def _electronegativity_order(key: tuple[tuple[int, float], ...]) -> list[tuple[int, float]]:
    return sorted(key, key=lambda item: (_ordering_value(item[0]), SYMBOLS[item[0]]))


def _ordering_value(number: int) -> float:
    value = float(ELECTRONEGATIVITY[number])
    return value if math.isfinite(value) else math.inf


@lru_cache(maxsize=262144)
def _plain_formula(key: tuple[tuple[int, float], ...]) -> str:
    return "".join(
        SYMBOLS[number] + _amount_text(amount) for number, amount in _electronegativity_order(key)
    )


@lru_cache(maxsize=262144)
def _reduced_formula(key: tuple[tuple[int, float], ...]) -> str:
    ordered = _electronegativity_order(key)
    if len(ordered) == 1:
        number, amount = ordered[0]
        if SYMBOLS[number] in DIATOMIC and abs(amount - 1.0) < AMOUNT_TOLERANCE:
            return SYMBOLS[number] + "2"
    if _plain_text(ordered) in PEROXIDES:
        return f"{SYMBOLS[ordered[0][0]]}2O2"
    if len(ordered) >= 3:
        group = _polyanion(ordered[-2], ordered[-1])
        if group:
            return _plain_text(ordered[:-2]) + group
    return _plain_text(ordered)


def _plain_text(items: Sequence[tuple[int, float]]) -> str:
    return "".join(SYMBOLS[number] + _amount_text(amount) for number, amount in items)


def _polyanion(first: tuple[int, float], second: tuple[int, float]) -> str:
    """Write the two most electronegative elements as a repeated group, or nothing."""
    gap = _ordering_value(second[0]) - _ordering_value(first[0])
    whole = [round(first[1]), round(second[1])]
    exact = all(
        abs(amount - count) < AMOUNT_TOLERANCE
        for amount, count in zip((first[1], second[1]), whole, strict=True)
    )
    if not (gap < POLYANION_ELECTRONEGATIVITY_GAP and exact and min(whole) > 0):
        return ""
    repeat = math.gcd(*whole)
    if repeat == 1:
        return ""
    inner = _plain_text([(first[0], whole[0] / repeat), (second[0], whole[1] / repeat)])
    return f"({inner}){repeat}"


DIATOMIC = frozenset({"H", "N", "O", "F", "Cl"})
"""Elements whose reduced formula is the molecule (pymatgen's convention)."""

PEROXIDES = frozenset({"HO", "LiO", "NaO", "KO", "RbO", "CsO"})
"""Reduced formulas written as the peroxide, Na2O2 (pymatgen's convention)."""
