"""Chemical potentials of the equilibria on a hull, and where each phase is stable.

Potentials are eV/atom relative to the elements of the hull (zero: in equilibrium with the element
itself). The potentials at which a phase is stable form a polyhedron whose corners are the facets
that contain it and which is open only towards lower potentials of elements that it lacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from materialabs.errors import InputError
from materialabs.hull.geometry import ON_BORDER, fractions_on
from materialabs.hull.intake import Phases, as_compositions, element_among, require_inside
from materialabs.hull.points import Floats, Indices

if TYPE_CHECKING:
    from materialabs.hull.hull import Hull

MARGIN = 1.0
"""eV/atom below the lowest corner, where the picture of an open region is cut."""


@dataclass(frozen=True)
class Equilibrium:
    """Phases that exist side by side, and the chemical potentials that this takes.

    Parameters
    ----------
    entries
        Positions of the phases among the hull's entries.
    phases
        Their reduced formulas.
    potentials
        Chemical potential of each element, eV/atom relative to the element.
    absolute
        The same on the scale of the hull's energies.
    """

    entries: tuple[int, ...]
    phases: tuple[str, ...]
    potentials: dict[str, float]
    absolute: dict[str, float]

    def __str__(self) -> str:
        values = ", ".join(f"{name} {value:.3f}" for name, value in self.potentials.items())
        return f"{' + '.join(self.phases)}: {values} eV/atom"


def equilibrium(hull: Hull, facet: int) -> Equilibrium:
    """The equilibrium of one facet of a hull, by its number."""
    facets = hull.facets
    if not 0 <= facet < len(facets):
        raise InputError(f"The hull has facets 0 to {len(facets) - 1}, not {facet}.")
    return _equilibrium(hull, facets.vertices[facet], facets.potentials[facet])


def chemical_potentials(hull: Hull, composition: Phases) -> list[Equilibrium]:
    """The equilibria that a composition takes part in: one inside a facet, more on its rim.

    Where a hull has too many facets to list, one of them.
    """
    compositions = as_compositions(composition)
    if len(compositions) != 1:
        raise InputError("Chemical potentials are asked for one composition at a time.")
    require_inside(compositions, hull.elements)
    x = fractions_on(compositions, hull._column, len(hull.elements))
    if hull.lower.facets is None:
        found = hull.lower.mixtures(x)
        return [_equilibrium(hull, hull.entry_of_point[found.phases[0]], found.potentials[0])]
    facets = hull.facets
    inside = (facets.inverse @ x[0]).min(axis=1) > -ON_BORDER
    return [equilibrium(hull, facet) for facet in np.flatnonzero(inside).tolist()]


def _equilibrium(hull: Hull, entries: Indices, potentials: Floats) -> Equilibrium:
    phases = hull.compositions[entries].reduced_formulas()
    return Equilibrium(
        tuple(int(entry) for entry in entries),
        tuple(phases),
        dict(zip(hull.symbols, potentials.tolist(), strict=True)),
        dict(zip(hull.symbols, (potentials + hull.references).tolist(), strict=True)),
    )


def stability_windows(hull: Hull, element: str) -> dict[str, tuple[float, float]]:
    """The range of an element's potential, eV/atom, in which each stable phase can exist.

    The other potentials are free to adjust. A phase without the element exists down to minus
    infinity.
    """
    place = element_among(element, hull.elements)
    windows = {}
    for formula, point, potentials in _corners(hull):
        lacking = hull.lower.points.fractions[point, place] == 0.0
        if potentials is None:
            low, high = _window_by_programme(hull, point, place)
        else:
            low, high = potentials[:, place].min(), potentials[:, place].max()
        windows[formula] = (-np.inf if lacking else float(low), float(high))
    return windows


def _corners(hull: Hull) -> Iterator[tuple[str, int, Floats | None]]:
    """Each stable phase: formula, point, and the potentials of its facets where they are listed."""
    stable = hull.lower.stable
    formulas = hull.compositions[hull.entry_of_point[stable]].reduced_formulas()
    facets = hull.lower.facets
    for formula, point in zip(formulas, stable.tolist(), strict=True):
        if facets is None:
            yield formula, point, None
        else:
            touching = (facets.vertices == point).any(axis=1)
            yield formula, point, facets.potentials[touching]


def _window_by_programme(hull: Hull, point: int, place: int) -> tuple[float, float]:
    """Lowest and highest potential at which a phase is stable, by linear programming (HiGHS)."""
    from scipy.optimize import linprog

    points, stable = hull.lower.points, hull.lower.stable
    cost = np.zeros(hull.lower.size)
    ends = []
    for sign in (1.0, -1.0):
        cost[place] = sign
        found = linprog(
            cost,
            A_ub=points.fractions[stable],
            b_ub=points.energies[stable],
            A_eq=points.fractions[[point]],
            b_eq=points.energies[[point]],
            bounds=(None, None),
            method="highs",
        )
        ends.append(sign * found.fun if found.status == 0 else -np.inf)
    return ends[0], ends[1]


def stability_regions(hull: Hull, first: str, second: str) -> dict[str, Floats]:
    """The polygon of two elements' potentials, eV/atom, in which each stable phase can exist.

    Parameters
    ----------
    hull
        A hull whose facets can be listed.
    first, second
        The two elements; the potentials of all others are free to adjust.

    Returns
    -------
    dict
        For each stable phase its corners, float64 [c, 2], anticlockwise. A region that is open
        towards low potentials is cut ``MARGIN`` below the lowest corner of all.
    """
    places = [element_among(symbol, hull.elements) for symbol in (first, second)]
    if places[0] == places[1]:
        raise InputError("A stability region needs two different elements.")
    facets = hull.lower.require_facets("A stability region")
    floor = facets.potentials[:, places].min(axis=0) - MARGIN
    regions = {}
    for formula, point, potentials in _corners(hull):
        corners = np.asarray(potentials)[:, places]
        for axis in (0, 1):
            if hull.lower.points.fractions[point, places[axis]] == 0.0:
                cut = corners.copy()
                cut[:, axis] = floor[axis]
                corners = np.concatenate([corners, cut])
        regions[formula] = convex_polygon(corners)
    return regions


def convex_polygon(points: Floats) -> Floats:
    """Corners of the convex hull of points [n, 2], anticlockwise (Andrew's chain, 1979)."""
    ordered = np.unique(np.round(points, 12), axis=0)
    if len(ordered) < 3:
        return ordered
    chains = [_chain(ordered), _chain(ordered[::-1])]
    return np.array([*chains[0][:-1], *chains[1][:-1]])


def _chain(points: Floats) -> list[Floats]:
    chain: list[Floats] = []
    for point in points:
        while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
            chain.pop()
        chain.append(point)
    return chain


def _turn(a: Floats, b: Floats, c: Floats) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
