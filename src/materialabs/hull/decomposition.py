"""What compositions fall apart into: products, amounts and readable reactions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.hull.geometry import ON_BORDER
from materialabs.hull.points import Floats, Indices

ROWS_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Decomposition:
    """The cheapest mixture of phases for each of many compositions, ragged.

    Parameters
    ----------
    compositions
        What falls apart [m].
    products
        int64 [P], entries of the hull; those of composition i stand at
        ``offsets[i]:offsets[i+1]``, the largest amount first.
    amounts
        float64 [P], atoms of the product for one atom of the composition; they add up to one.
    offsets
        int64 [m+1].
    energies
        float64 [m], energy of the mixture, eV/atom, in the kind and at the level of the hull.
    entries
        Compositions of all entries of the hull.
    ids
        Names of all entries of the hull.
    """

    compositions: Compositions
    products: Indices
    amounts: Floats
    offsets: Indices
    energies: Floats
    entries: Compositions
    ids: list[str]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> dict[int, float]:
        """Products of one composition as {entry: amount}."""
        if not -len(self) <= row < len(self):
            raise IndexError(f"composition {row} of {len(self)}")
        start, stop = self.offsets[row % len(self)], self.offsets[row % len(self) + 1]
        return dict(
            zip(self.products[start:stop].tolist(), self.amounts[start:stop].tolist(), strict=True)
        )

    def __iter__(self) -> Iterator[dict[int, float]]:
        return (self[row] for row in range(len(self)))

    @cached_property
    def formulas(self) -> list[str]:
        """Reduced formula of each composition [m]."""
        return self.compositions.reduced_formulas()

    @cached_property
    def coefficients(self) -> Floats:
        """Formula units of each product [P] for one reduced formula unit of the composition."""
        whole = atoms_in(self.formulas)
        owner = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        names, place = np.unique(self.product_formulas, return_inverse=True)
        return np.asarray(self.amounts * whole[owner] / atoms_in(names.tolist())[place])

    @cached_property
    def product_formulas(self) -> list[str]:
        """Reduced formula of each product [P]."""
        chosen, place = np.unique(self.products, return_inverse=True)
        names = self.entries[chosen].reduced_formulas()
        return [names[position] for position in place]

    def mixtures(self) -> list[str]:
        """The products of each composition as a text: ``0.5 P2S5 + 1.5 Li2S``."""
        terms = [
            term(amount, formula)
            for amount, formula in zip(self.coefficients, self.product_formulas, strict=True)
        ]
        bounds = self.offsets.tolist()
        return [" + ".join(terms[start:stop]) for start, stop in pairwise(bounds)]

    def reactions(self) -> list[str]:
        """Each decomposition as a reaction: ``Li3PS4 → 1.5 Li2S + 0.5 P2S5``."""
        return [
            f"{formula} → {mixture}"
            for formula, mixture in zip(self.formulas, self.mixtures(), strict=True)
        ]

    def __repr__(self) -> str:
        shown = "; ".join(self.head().reactions())
        more = f"; and {len(self) - ROWS_SHOWN} more" if len(self) > ROWS_SHOWN else ""
        return f"Decomposition({shown}{more})"

    def head(self) -> Decomposition:
        """The first few compositions."""
        last = min(len(self), ROWS_SHOWN)
        stop = self.offsets[last]
        return Decomposition(
            self.compositions[:last],
            self.products[:stop],
            self.amounts[:stop],
            self.offsets[: last + 1],
            self.energies[:last],
            self.entries,
            self.ids,
        )

    def _repr_html_(self) -> str:
        rows = "".join(f"<li>{escape(reaction)}</li>" for reaction in self.head().reactions())
        return f"<p>{len(self)} decompositions</p><ul>{rows}</ul>"


def ragged_products(phases: Indices, amounts: Floats) -> tuple[Indices, Floats, NDArray[np.int64]]:
    """Turn padded mixtures [m, k] into ragged ones, the largest amount first."""
    order = np.argsort(-amounts, axis=1, kind="stable")
    sorted_amounts = np.take_along_axis(amounts, order, axis=1)
    kept = sorted_amounts > ON_BORDER
    offsets = np.zeros(len(phases) + 1, dtype=np.int64)
    np.cumsum(kept.sum(axis=1), out=offsets[1:])
    return np.take_along_axis(phases, order, axis=1)[kept], sorted_amounts[kept], offsets


def atoms_in(formulas: list[str]) -> Floats:
    """Atoms in one unit of each formula as it is written (two in O2)."""
    return Compositions.parse(formulas).atoms


def term(coefficient: float, formula: str) -> str:
    """One term of a reaction: ``1.5 Li2S``, or ``Li2S`` alone for one."""
    rounded = round(float(coefficient), 4)
    number = "" if rounded == 1.0 else f"{rounded:g} "
    return number + formula
