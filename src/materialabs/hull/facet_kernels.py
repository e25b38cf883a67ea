"""The lower convex hull as a triangulation of composition space that grows point by point.

A facet is a simplex of k phases. It is kept with three things that make every question cheap:

- ``inverse`` [k, k]: times a composition x it gives the amounts of the k phases in x, so x lies in
  the facet when none is negative, and the most negative one says across which ridge x lies;
- ``potentials`` [k]: the chemical potentials, whose product with x is the energy of the facet's
  plane at x;
- ``neighbours`` [k]: the facet across the ridge opposite to each phase, -1 at the border.

A new phase below the hull removes the facets that it sees and is joined to the rim of the hole
(Bowyer, 1981; Watson, 1981: the same for Delaunay triangulations, which are hulls one dimension
up). A composition is located by walking from facet to facet; on a convex surface each step raises
the plane's energy at x, so the walk cannot go round in circles (Edelsbrunner, 1990).

All kernels that call one another stand in this one module: numba's cache on disk notices changes
of a kernel's own file only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from materialabs.hull.compiled import compiled

BELOW = 1e-12
"""eV/atom; a phase less than this below the hull changes nothing."""

ON_RIDGE = 1e-10
"""Amounts smaller than this mean that a composition lies on the ridge itself."""

INSIDE = 1e-13
"""A facet holds a composition when no amount is more negative than this."""

WALK_STEPS = 1000
"""Steps after which a walk gives up and every facet is looked at."""


@compiled
def plane_at(potentials: Any, facet: Any, x: Any) -> Any:
    """Energy of a facet's plane at a composition."""
    total = 0.0
    for i in range(len(x)):
        total += potentials[facet, i] * x[i]
    return total


@compiled
def amount_at(inverse: Any, facet: Any, row: Any, x: Any) -> Any:
    """Amount of one of a facet's phases in a composition."""
    total = 0.0
    for i in range(len(x)):
        total += inverse[facet, row, i] * x[i]
    return total


@compiled
def walk(x: Any, start: Any, inverse: Any, neighbours: Any) -> Any:
    """The facet that holds a composition, or -1 when the walk gave up."""
    size = len(x)
    facet = start
    for _ in range(WALK_STEPS):
        lowest, side = -INSIDE, -1
        for row in range(size):
            amount = amount_at(inverse, facet, row, x)
            if amount < lowest and neighbours[facet, row] >= 0:
                lowest, side = amount, row
        if side < 0:
            return facet
        facet = neighbours[facet, side]
    return -1


@compiled
def highest_plane(x: Any, potentials: Any, inverse: Any, alive: Any) -> Any:
    """The facet with the highest plane at a composition; of equal ones, the one that holds it."""
    best, value, depth = 0, -np.inf, -np.inf
    for facet in range(len(alive)):
        if not alive[facet]:
            continue
        height = plane_at(potentials, facet, x)
        if height < value - BELOW:
            continue
        least = np.inf
        for row in range(len(x)):
            least = min(least, amount_at(inverse, facet, row, x))
        if height > value + BELOW or least > depth:
            best, value, depth = facet, height, least
    return best


@compiled
def locate(x: Any, start: Any, potentials: Any, inverse: Any, neighbours: Any, alive: Any) -> Any:
    """The facet whose plane is the hull at a composition."""
    facet = walk(x, start, inverse, neighbours)
    if facet < 0:
        facet = highest_plane(x, potentials, inverse, alive)
    return facet


@compiled
def enlarge(facets: Any, capacity: Any) -> Any:
    """The same facets in arrays with room for more."""
    vertices, neighbours, inverse, potentials, volume = facets
    count, size = vertices.shape
    wider = (
        np.full((capacity, size), -1, np.int64),
        np.full((capacity, size), -1, np.int64),
        np.zeros((capacity, size, size)),
        np.zeros((capacity, size)),
        np.zeros(capacity),
    )
    wider[0][:count] = vertices
    wider[1][:count] = neighbours
    wider[2][:count] = inverse
    wider[3][:count] = potentials
    wider[4][:count] = volume
    return wider


@compiled
def find_visible(x: Any, energy: Any, start: Any, facets: Any, work: Any, serial: Any) -> Any:
    """Collect the facets that a phase lies below, across ridges from the one at ``start``.

    A ridge that the composition itself lies on is always crossed: the planes of both sides agree
    there, and rounding must not decide between them.
    """
    _, neighbours, inverse, potentials, _ = facets
    visible, amounts, stamp = work
    size = len(x)
    visible[0] = start
    stamp[start] = serial
    found, done = 1, 0
    while done < found:
        facet = visible[done]
        for row in range(size):
            amounts[done, row] = amount_at(inverse, facet, row, x)
        for row in range(size):
            other = neighbours[facet, row]
            if other < 0 or stamp[other] == serial:
                continue
            above = plane_at(potentials, other, x) - energy > BELOW
            if above or amounts[done, row] <= ON_RIDGE:
                stamp[other] = serial
                visible[found] = other
                found += 1
        done += 1
    return found


@compiled
def raise_facet(facets: Any, old: Any, new: Any, row: Any, point: Any, amounts: Any,
                energies: Any, points: Any) -> None:  # fmt: skip
    """Write facet ``new``: facet ``old`` with the phase in ``row`` replaced by ``point``."""
    vertices, neighbours, inverse, potentials, volume = facets
    size = len(amounts)
    pivot = amounts[row]
    for i in range(size):
        vertices[new, i] = vertices[old, i]
        neighbours[new, i] = -1
    vertices[new, row] = point
    neighbours[new, row] = neighbours[old, row]
    volume[new] = volume[old] * pivot
    for j in range(size):
        inverse[new, row, j] = inverse[old, row, j] / pivot
    for i in range(size):
        if i != row:
            for j in range(size):
                inverse[new, i, j] = inverse[old, i, j] - amounts[i] * inverse[new, row, j]
    sharpen(inverse, new, vertices, points)
    for j in range(size):
        total = 0.0
        for i in range(size):
            total += energies[vertices[new, i]] * inverse[new, i, j]
        potentials[new, j] = total


@compiled
def sharpen(inverse: Any, facet: Any, vertices: Any, points: Any) -> None:
    """One Newton step on an inverse, M <- M (2 - B M), so that rounding never adds up."""
    size = inverse.shape[1]
    error = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            total = 0.0
            for m in range(size):
                total += inverse[facet, i, m] * points[vertices[facet, j], m]
            error[i, j] = (1.0 if i == j else 0.0) - total
    corrected = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            total = inverse[facet, i, j]
            for m in range(size):
                total += error[i, m] * inverse[facet, m, j]
            corrected[i, j] = total
    for i in range(size):
        for j in range(size):
            inverse[facet, i, j] = corrected[i, j]


@compiled
def join_fresh(fresh: Any, count: Any, facets: Any, rows: Any, marks: Any) -> None:
    """Make neighbours of the new facets that share a ridge through the new phase.

    A ridge is known by the sum of the marks of its phases, which does not depend on their order.
    """
    vertices, neighbours, _, _, _ = facets
    size = vertices.shape[1]
    slots = 16
    while slots < 2 * count * size:
        slots *= 2
    keys = np.empty(slots, np.uint64)
    owner = np.full(slots, -1, np.int64)
    ridge = np.empty(slots, np.int64)
    for number in range(count):
        facet = fresh[number]
        whole = np.uint64(0)
        for i in range(size):
            whole += marks[vertices[facet, i]]
        for i in range(size):
            if i == rows[number]:
                continue
            key = whole - marks[vertices[facet, i]]
            slot = np.int64(key & np.uint64(slots - 1))
            while owner[slot] >= 0 and keys[slot] != key:
                slot = (slot + 1) & (slots - 1)
            if owner[slot] < 0:
                keys[slot], owner[slot], ridge[slot] = key, facet, i
            else:
                neighbours[facet, i] = owner[slot]
                neighbours[owner[slot], ridge[slot]] = facet


@compiled
def new_work(capacity: Any, size: Any) -> Any:
    """Room to work in: alive, free, stamp, visible and fresh facets, rows, and amounts."""
    return (
        np.zeros(capacity, np.bool_),
        np.zeros(capacity, np.int64),
        np.zeros(capacity, np.int64),
        np.zeros(capacity, np.int64),
        np.zeros(capacity * size, np.int64),
        np.zeros(capacity * size, np.int64),
        np.zeros((capacity, size)),
    )


@compiled
def wider_work(work: Any, capacity: Any) -> Any:
    """The same in more room."""
    wider = new_work(capacity, work[6].shape[1])
    wider[0][: len(work[0])] = work[0]
    wider[1][: len(work[1])] = work[1]
    wider[2][: len(work[2])] = work[2]
    wider[3][: len(work[3])] = work[3]
    wider[6][: len(work[6])] = work[6]
    return wider


@compiled
def fill_hole(facets: Any, work: Any, counts: Any, phase: Any, serial: Any) -> Any:
    """Join a phase to the rim of the hole that its visible facets leave.

    Returns how many facets were made, and the numbers of used and of spare places. A ridge at the
    border of composition space on which the phase lies itself gives no facet.
    """
    alive, free, stamp, visible, fresh, rows, amounts = work
    found, used, spare = counts
    point, points, energies = phase
    neighbours = facets[1]
    size = neighbours.shape[1]
    made = 0
    for number in range(found):
        old = visible[number]
        for row in range(size):
            other = neighbours[old, row]
            if (other >= 0 and stamp[other] == serial) or amounts[number, row] <= ON_RIDGE:
                continue
            if spare > 0:
                spare -= 1
                new = free[spare]
            else:
                new = used
                used += 1
            raise_facet(facets, old, new, row, point, amounts[number], energies, points)
            for side in range(size):
                if other >= 0 and neighbours[other, side] == old:
                    neighbours[other, side] = new
            fresh[made], rows[made] = new, row
            alive[new], stamp[new] = True, 0
            made += 1
    return made, used, spare


@compiled
def insert_points(points: Any, energies: Any, marks: Any, order: Any, facets: Any, limit: Any,
                  room: Any) -> Any:  # fmt: skip
    """Add phases one after another to a hull.

    Parameters
    ----------
    points, energies, marks
        Atomic fractions [n, k], energies [n] in eV/atom above the elements, and a random number
        uint64 [n] of every phase.
    order
        int64 [m], the phases to add.
    facets
        vertices int64 [f, k], neighbours int64 [f, k], inverse [f, k, k], potentials [f, k] and
        volume [f] (share of composition space) of the hull so far.
    limit, room
        Facets at which the work is given up, and the most that places may be made for.

    Returns
    -------
    tuple
        Whether it was finished, and the facets of the new hull.
    """
    size = points.shape[1]
    used = len(facets[0])
    facets = enlarge(facets, max(64, 4 * used))
    work = new_work(len(facets[0]), size)
    work[0][:used] = True
    start, living, spare = 0, used, 0
    for serial in range(1, len(order) + 1):
        point = order[serial - 1]
        x, energy = points[point], energies[point]
        start = locate(x, start, facets[3], facets[2], facets[1], work[0])
        if not plane_at(facets[3], start, x) - energy > BELOW:
            continue
        found = find_visible(x, energy, start, facets, (work[3], work[6], work[2]), serial)
        if used + found * size > len(facets[0]) + spare:
            capacity = 2 * len(facets[0]) + found * size
            if capacity > room:
                return False, facets
            facets, work = enlarge(facets, capacity), wider_work(work, capacity)
        counts = (found, used, spare)
        made, used, spare = fill_hole(facets, work, counts, (point, points, energies), serial)
        if made == 0:
            continue
        join_fresh(work[4], made, facets, work[5], marks)
        for number in range(found):
            work[0][work[3][number]] = False
            work[1][spare] = work[3][number]
            spare += 1
        living += made - found
        start = work[4][0]
        if living > limit:
            return False, facets
    return True, compact(facets, work[0])


@compiled
def compact(facets: Any, alive: Any) -> Any:
    """The living facets alone, renumbered."""
    vertices, neighbours, inverse, potentials, volume = facets
    kept = np.flatnonzero(alive)
    number = np.full(len(alive) + 1, -1, np.int64)
    for new in range(len(kept)):
        number[kept[new]] = new
    renamed = np.empty((len(kept), vertices.shape[1]), np.int64)
    for new in range(len(kept)):
        for row in range(vertices.shape[1]):
            renamed[new, row] = number[neighbours[kept[new], row]]
    return vertices[kept], renamed, inverse[kept], potentials[kept], volume[kept]


@compiled
def locate_many(elements: Any, amounts: Any, offsets: Any, column: Any, facets: Any, guides: Any,
                found: Any) -> None:  # fmt: skip
    """The facet that holds each of many compositions.

    A walk starts from the best of a few facets spread over the hull, so that it is short wherever
    the compositions come from.

    Parameters
    ----------
    elements, amounts, offsets
        The compositions, ragged.
    column
        int64 [256], the place of each element on the hull, -1 for an element that is not on it.
    facets
        Inverse, potentials and neighbours of all facets.
    guides
        int64 [g], the facets to start from, and their potentials, float64 [k, g].
    found
        int64 [n], written: a facet, or -1 for a composition with an element off the hull.
    """
    inverse, potentials, neighbours = facets
    starts, planes = guides
    size = inverse.shape[1]
    alive = np.ones(len(inverse), np.bool_)
    x = np.empty(size)
    height = np.empty(len(starts))
    for row in range(len(offsets) - 1):
        total = 0.0
        outside = False
        for i in range(size):
            x[i] = 0.0
        for s in range(len(starts)):
            height[s] = 0.0
        for i in range(offsets[row], offsets[row + 1]):
            place = column[elements[i]]
            if place < 0:
                outside = True
                break
            amount = amounts[i]
            x[place] = amount
            total += amount
            for s in range(len(starts)):
                height[s] += planes[place, s] * amount
        if outside:
            found[row] = -1
            continue
        for i in range(size):
            x[i] /= total
        best = 0
        for s in range(1, len(starts)):
            if height[s] > height[best]:
                best = s
        found[row] = locate(x, starts[best], potentials, inverse, neighbours, alive)


@compiled
def energies_on(elements: Any, amounts: Any, offsets: Any, column: Any, potentials: Any,
                found: Any, energies: Any) -> None:  # fmt: skip
    """Energy of the located facets' planes at many compositions [n]; NaN where none was found."""
    for row in range(len(offsets) - 1):
        total, weighted = 0.0, 0.0
        for i in range(offsets[row], offsets[row + 1]):
            total += amounts[i]
            if found[row] >= 0:
                weighted += amounts[i] * potentials[found[row], column[elements[i]]]
        energies[row] = weighted / total if found[row] >= 0 else np.nan
