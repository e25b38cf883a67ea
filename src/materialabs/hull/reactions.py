"""Reactions between two phases in contact: mixing ratios, energies and products.

Along the line that mixes two compositions the hull is a convex chain of straight pieces; what can
form changes at its kinks, and the most favourable reaction is at one of them (Richards et al.,
Chem. Mater. 28, 266, 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError
from materialabs.hull.decomposition import Decomposition, atoms_in, term
from materialabs.hull.geometry import ON_BORDER, fractions_on
from materialabs.hull.intake import Phases
from materialabs.hull.points import Floats
from materialabs.levels import Energies

if TYPE_CHECKING:
    from materialabs.hull.hull import Hull

ON_LINE = 1e-10
"""eV/atom; two pieces of the chain that differ by less are one."""

SAME_COMPOSITION = 1e-9
"""Largest difference between atomic fractions of one composition."""


@dataclass(frozen=True, eq=False)
class InterfaceReactions:
    """All distinct reactions between two phases, by rising share of the first.

    Parameters
    ----------
    reactants
        The two compositions.
    mixing
        float64 [q], atoms of the first phase in one atom of the mixture.
    energies
        float64 [q], reaction energy, eV for one atom of the mixture.
    products
        What forms at each ratio.
    """

    reactants: Compositions
    mixing: Floats
    energies: Floats
    products: Decomposition

    @property
    def strongest(self) -> int:
        """Position of the reaction with the most negative energy."""
        return int(np.argmin(self.energies))

    @property
    def reaction_energy(self) -> float:
        """Most negative reaction energy, eV/atom; zero when nothing reacts."""
        return float(self.energies[self.strongest])

    def reactions(self) -> list[str]:
        """Each reaction as a text, for one unit of the scarcer phase."""
        names = self.reactants.reduced_formulas()
        shares = np.stack([self.mixing, 1.0 - self.mixing], axis=1) / atoms_in(names)
        shares[shares < ON_BORDER] = 0.0
        scarce = np.where(shares > 0, shares, np.inf).min(axis=1)
        formed = self.products.coefficients / np.repeat(
            atoms_in(self.products.formulas) * scarce, np.diff(self.products.offsets)
        )
        parts = shares / scarce[:, None]
        bounds = self.products.offsets
        formulas = self.products.product_formulas
        return [
            f"{_terms(parts[row], names)} → {_terms(formed[start:stop], formulas[start:stop])}"
            for row, (start, stop) in enumerate(pairwise(bounds))
        ]

    def __repr__(self) -> str:
        return (
            f"InterfaceReactions({self.reactions()[self.strongest]}, "
            f"{self.reaction_energy:.4f} eV/atom)"
        )


def _terms(coefficients: Floats, formulas: list[str]) -> str:
    return " + ".join(
        term(value, formula)
        for value, formula in zip(coefficients, formulas, strict=True)
        if value > 0
    )


def interface_reactions(
    hull: Hull, first: Phases, second: Phases, energies: Energies | None = None
) -> InterfaceReactions:
    """The reactions between two phases brought into contact.

    Parameters
    ----------
    hull
        A hull of a system that contains both.
    first, second
        One composition each.
    energies
        Energies of the two phases; by default those of the lowest entries with these compositions,
        or of the hull where there is none.
    """
    pair = Compositions.concat([hull._inside(first), hull._inside(second)])
    if len(pair) != 2:
        raise InputError("An interface is between two compositions, one on each side.")
    ends = fractions_on(pair, hull._column, len(hull.elements))
    if energies is None:
        values = np.array([_lowest(hull, end) for end in ends])
    else:
        values = hull._comparable(energies, 2) - ends @ hull.references
    mixing = np.array(_kinks(hull, ends))
    x = mixing[:, None] * ends[0] + (1.0 - mixing)[:, None] * ends[1]
    mixtures = _as_compositions(hull, x)
    products = hull.decompose(mixtures)
    formed = products.energies - x @ hull.references
    spent = mixing * values[0] + (1.0 - mixing) * values[1]
    result = formed - spent
    result[[0, -1]] = np.where(np.abs(result[[0, -1]]) < ON_LINE, 0.0, result[[0, -1]])
    return InterfaceReactions(pair, mixing, result, products)


def reaction_energy(
    hull: Hull, first: Phases, second: Phases, energies: Energies | None = None
) -> float:
    """Most negative energy, eV/atom of mixture, of a reaction between two phases."""
    return interface_reactions(hull, first, second, energies).reaction_energy


def _lowest(hull: Hull, x: Floats) -> float:
    """Energy above the elements of the lowest entry of a composition, else of the hull."""
    same = np.abs(hull.fractions - x).max(axis=1) < SAME_COMPOSITION
    if same.any():
        return float(hull.formation_energies[same].min())
    return float(hull.lower.mixtures(x[None]).potentials[0] @ x)


def _kinks(hull: Hull, ends: Floats) -> list[float]:
    """Shares of the first phase at which the products change, both ends included."""
    if np.abs(ends[0] - ends[1]).max() < SAME_COMPOSITION:
        return [0.0, 1.0]
    planes = hull.lower.mixtures(ends[::-1].copy()).potentials
    inner = _between(hull, ends, _piece(planes[0], 0.0, ends), _piece(planes[1], 1.0, ends))
    return sorted({0.0, 1.0, *inner})


@dataclass(frozen=True)
class Piece:
    """A straight piece of the chain: a share on it, and its heights at shares zero and one."""

    share: float
    start: float
    end: float

    def at(self, share: float) -> float:
        """Height of the piece, drawn out, at a share."""
        return self.start + (self.end - self.start) * share


def _piece(potentials: Floats, share: float, ends: Floats) -> Piece:
    return Piece(share, float(potentials @ ends[1]), float(potentials @ ends[0]))


def _between(hull: Hull, ends: Floats, left: Piece, right: Piece) -> list[float]:
    """Kinks between two straight pieces.

    The two pieces cross at one share; if the hull passes there, that is a kink, else the piece
    that does pass divides the search (as in Newton's method on a convex chain).
    """
    steepening = (right.end - right.start) - (left.end - left.start)
    if steepening < ON_LINE:
        return []
    share = float(np.clip((left.start - right.start) / steepening, left.share, right.share))
    x = share * ends[0] + (1.0 - share) * ends[1]
    potentials = hull.lower.mixtures(x[None]).potentials[0]
    if potentials @ x - left.at(share) < ON_LINE:
        return [round(share, 12)]
    middle = _piece(potentials, share, ends)
    return _between(hull, ends, left, middle) + _between(hull, ends, middle, right)


def _as_compositions(hull: Hull, x: Floats) -> Compositions:
    cleaned = np.where(x > SAME_COMPOSITION, x, 0.0)
    return Compositions.from_dicts(
        [
            {number: float(amount) for number, amount in zip(hull.elements, row, strict=True)
             if amount > 0}
            for row in cleaned
        ]
    )  # fmt: skip
