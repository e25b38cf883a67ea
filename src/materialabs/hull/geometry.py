"""The lower convex hull of points over composition space: what every kind of hull stands on.

Energies here are eV/atom above the elements, so that the elements are corners at zero. Two ways to
the same answer: facets, where they are few enough to be listed, and a linear programme for each
composition, where they are not (from about eight elements on).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError
from materialabs.hull.points import Floats, Indices, Points

MOST_FACETS = 50_000
"""Facets; beyond, listing them costs more time and memory than a linear programme each."""

MOST_BYTES = 2**30
"""Of the facets' inverses, k x k numbers each."""

MOST_ELEMENTS = 24
"""Elements; the facets of a database of more are never listed, since they would be too many."""

FULL = 1e-8
"""The facets' shares of composition space add up to one within this."""

GUIDES = 32
"""Facets that a search starts from; more cost more time than the shorter walks save."""

ON_BORDER = 1e-9
"""Amounts below this are rounding and are not listed as products."""


@dataclass(frozen=True, eq=False)
class Facets:
    """The simplices of a lower hull: k phases each, in equilibrium with one another.

    Parameters
    ----------
    vertices
        int64 [f, k], phases.
    neighbours
        int64 [f, k], the facet across the ridge opposite to each phase, -1 at the border.
    inverse
        float64 [f, k, k]; times a composition it gives the amounts of the phases.
    potentials
        float64 [f, k], chemical potentials in eV/atom above the elements.
    volume
        float64 [f], share of composition space.
    """

    vertices: Indices
    neighbours: Indices
    inverse: Floats
    potentials: Floats
    volume: Floats

    @classmethod
    def of_elements(cls, size: int) -> Facets:
        """The one facet of a system without compounds."""
        return cls(
            np.arange(size, dtype=np.int64)[None].copy(),
            np.full((1, size), -1, dtype=np.int64),
            np.eye(size)[None].copy(),
            np.zeros((1, size)),
            np.ones(1),
        )

    def arrays(self) -> tuple[Indices, Indices, Floats, Floats, Floats]:
        """The five arrays, for the kernels."""
        return self.vertices, self.neighbours, self.inverse, self.potentials, self.volume

    def __len__(self) -> int:
        return len(self.vertices)


@dataclass(frozen=True, eq=False)
class Mixtures:
    """The cheapest mixture at each of many compositions.

    Parameters
    ----------
    phases
        int64 [m, k].
    amounts
        float64 [m, k], atoms of each phase for one atom of the composition.
    potentials
        float64 [m, k], chemical potentials, eV/atom above the elements.
    """

    phases: Indices
    amounts: Floats
    potentials: Floats


@dataclass(frozen=True, eq=False)
class LowerHull:
    """The lower convex hull of points; build it with :func:`lower_hull`.

    Parameters
    ----------
    points
        The phases.
    facets
        The facets, or ``None`` where there are too many to list.
    """

    points: Points
    facets: Facets | None
    _guides: list[tuple[Indices, Floats]] = field(default_factory=list, repr=False)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(self.points.fractions.shape[1])

    def energies(self, compositions: Compositions, column: Indices) -> Floats:
        """Energy of the hull at each composition [m], eV/atom above the elements.

        Parameters
        ----------
        compositions
            What to look up.
        column
            int64 [256], the place of each element here, -1 where it has none.

        Returns
        -------
        float64 [m]
            NaN for a composition with an element that has no place here.
        """
        if self.facets is None:
            return self._energies_by_programme(compositions, column)
        from materialabs.hull.facet_kernels import energies_on

        found = self.locate(compositions, column)
        result = np.empty(len(compositions))
        energies_on(
            compositions.elements,
            compositions.amounts,
            compositions.offsets,
            column,
            self.facets.potentials,
            found,
            result,
        )
        return result

    def _energies_by_programme(self, compositions: Compositions, column: Indices) -> Floats:
        x = fractions_on(compositions, column, self.size)
        known = ~np.isnan(x[:, 0])
        result = np.full(len(x), np.nan)
        potentials = self.mixtures(x[known]).potentials
        result[known] = np.einsum("ij,ij->i", potentials, x[known])
        return result

    def locate(self, compositions: Compositions, column: Indices) -> Indices:
        """The facet that holds each composition [m], -1 where an element has no place here."""
        from materialabs.hull.facet_kernels import locate_many

        facets = self.require_facets("Locating compositions")
        found = np.empty(len(compositions), dtype=np.int64)
        locate_many(
            compositions.elements,
            compositions.amounts,
            compositions.offsets,
            column,
            (facets.inverse, facets.potentials, facets.neighbours),
            self.guides,
            found,
        )
        return found

    @property
    def guides(self) -> tuple[Indices, Floats]:
        """Facets spread over the hull, and their potentials as columns [k, g]."""
        if not self._guides:
            facets = self.require_facets("A search")
            count = min(GUIDES, len(facets))
            chosen = np.linspace(0, len(facets) - 1, count).astype(np.int64)
            self._guides.append((chosen, np.ascontiguousarray(facets.potentials[chosen].T)))
        return self._guides[0]

    def mixtures(self, x: Floats) -> Mixtures:
        """The cheapest mixture at atomic fractions [m, k]."""
        if self.facets is None:
            return self._programme(x, self._stable_columns, np.full(len(x), -1, dtype=np.int64))
        found = self.locate(_as_compositions(x), np.arange(256, dtype=np.int64))
        inverse = self.facets.inverse[found]
        return Mixtures(
            self.facets.vertices[found],
            np.einsum("fij,fj->fi", inverse, x),
            self.facets.potentials[found],
        )

    def mixtures_without(self, x: Floats, excluded: Indices) -> Mixtures:
        """The cheapest mixture at [m, k] without one phase each (-1: none); elements stay."""
        every = np.arange(self.size, len(self.points.energies), dtype=np.int64)
        return self._programme(x, every, np.where(excluded >= self.size, excluded, -1))

    @cached_property
    def stable(self) -> Indices:
        """Phases that are corners of the hull, elements included."""
        if self.facets is not None:
            return np.unique(self.facets.vertices)
        return np.concatenate([np.arange(self.size), self._stable_columns])

    @cached_property
    def _stable_columns(self) -> Indices:
        """Compounds on the hull, found by a programme for each."""
        from materialabs.hull.facet_kernels import BELOW

        every = np.arange(self.size, len(self.points.energies), dtype=np.int64)
        every = every[self.points.energies[every] < 0]
        x = self.points.fractions[every]
        found = self._programme(x, every, np.full(len(x), -1, dtype=np.int64))
        hull = np.einsum("ij,ij->i", found.potentials, x)
        return np.asarray(every[self.points.energies[every] <= hull + BELOW])

    def _programme(self, x: Floats, phases: Indices, excluded: Indices) -> Mixtures:
        """Solve a linear programme for each composition over some of the phases."""
        from materialabs.hull.mixture_kernels import cheapest_mixtures

        position = np.full(len(self.points.energies) + 1, -1, dtype=np.int64)
        position[phases] = np.arange(len(phases))
        shape = (len(x), self.size)
        chosen = np.empty(shape, dtype=np.int64)
        amounts, potentials = np.empty(shape), np.empty(shape)
        cheapest_mixtures(
            np.ascontiguousarray(self.points.fractions[phases].T),
            self.points.energies[phases],
            np.ascontiguousarray(x),
            position[excluded],
            chosen,
            amounts,
            potentials,
        )
        if np.isnan(amounts).any():
            raise InputError(
                "The cheapest mixture could not be found to full precision: look for energies or "
                "amounts of absurd size among the entries."
            )
        names = np.concatenate([phases, np.arange(self.size)[::-1]])
        return Mixtures(names[chosen], amounts, potentials)

    def require_facets(self, purpose: str) -> Facets:
        """The facets, or a sentence saying that there are too many.

        Parameters
        ----------
        purpose
            What needs them, to begin the sentence.
        """
        if self.facets is None:
            raise InputError(
                f"{purpose} needs the facets of the hull one by one, and {self.size} elements have "
                "too many: choose a sub-system with fewer elements."
            )
        return self.facets


def lower_hull(points: Points) -> LowerHull:
    """The lower convex hull of points."""
    negative = np.flatnonzero(points.energies < 0)
    size = points.fractions.shape[1]
    if size > MOST_ELEMENTS:
        return LowerHull(points, None)
    order = negative[np.argsort(points.energies[negative], kind="stable")]
    return LowerHull(points, _grow(points, order[order >= size], Facets.of_elements(size)))


def grown_hull(hull: LowerHull, points: Points, added: Indices) -> LowerHull:
    """The hull with further points: ``points`` repeats those of the hull and adds ``added``.

    While it grows, a point that will be replaced still holds up its facets with its old energy.
    """
    if hull.facets is None:
        return LowerHull(points, None)
    old = hull.points.energies
    energies = np.concatenate([old, points.energies[len(old) :]])
    growing = Points(points.fractions, energies, points.marks)
    return LowerHull(points, _grow(growing, added, hull.facets))


def _grow(points: Points, order: Indices, facets: Facets) -> Facets | None:
    from materialabs.hull.facet_kernels import insert_points

    room = MOST_BYTES // (points.fractions.itemsize * points.fractions.shape[1] ** 2)
    finished, arrays = insert_points(
        points.fractions, points.energies, points.marks, order, facets.arrays(), MOST_FACETS, room
    )
    grown = Facets(*arrays)
    return grown if finished and abs(grown.volume.sum() - 1.0) < FULL else None


def columns_of(elements: tuple[int, ...]) -> Indices:
    """The place of each atomic number among these elements [256], -1 for others."""
    column = np.full(256, -1, dtype=np.int64)
    column[list(elements)] = np.arange(len(elements))
    return column


def fractions_on(compositions: Compositions, column: Indices, size: int) -> Floats:
    """Atomic fractions [m, k]; a row of NaN where an element has no place."""
    places = column[compositions.elements]
    rows = np.repeat(np.arange(len(compositions)), np.diff(compositions.offsets))
    table = np.zeros((len(compositions), size))
    inside = places >= 0
    table[rows[inside], places[inside]] = compositions.amounts[inside]
    table /= np.bincount(rows, weights=compositions.amounts, minlength=len(table))[:, None]
    table[rows[~inside]] = np.nan
    return table


def _as_compositions(x: Floats) -> Compositions:
    """Dense fractions as ragged compositions whose 'elements' are the columns."""
    rows, columns = np.nonzero(x)
    offsets = np.zeros(len(x) + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=len(x)), out=offsets[1:])
    return Compositions(columns.astype(np.uint8), x[rows, columns], offsets)
