"""The cheapest mixture of phases at a composition, as a linear programme solved for many at once.

Minimise the energy of the mixture under the condition that its amounts add up to the composition:
k equations for k elements. The pure elements are a mixture to begin with, so the revised primal
simplex method (Dantzig, 1963) starts without a search; the phase that lies furthest below the
plane of the present mixture enters, and when none lies below it the mixture is the cheapest.
Bland's rule (1977) takes over when ties could make the method go round in circles.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from materialabs.hull.compiled import compiled

BELOW_PLANE = 1e-12
"""eV/atom; a phase less than this below the plane of a mixture does not enter it."""

SMALLEST_PIVOT = 1e-9
"""Amounts below this are rounding, not a dependence of one phase on another."""

USED_UP = 1e-13
"""Amounts this far apart reach zero together."""

SOUND = 1e-10
"""Largest negative amount, and largest error of an inverse, in a mixture that is believed."""

NONE = -1000
"""No phase at all; the elements are the phases -1, -2, ..."""

DANTZIG_STEPS = 200
"""Steps with the steepest phase; afterwards the first one below, which cannot cycle."""

MOST_STEPS = 20000
"""Steps after which a programme is given up."""


@compiled
def steepest(columns: Any, energies: Any, count: Any, potentials: Any, depth: Any) -> Any:
    """The phase furthest below the plane of the mixture, and how far: (phase, eV/atom).

    Element i is the phase -1 - i; ``NONE`` when no phase lies below.
    """
    for j in range(count):
        depth[j] = energies[j]
    for i in range(len(potentials)):
        potential = potentials[i]
        for j in range(count):
            depth[j] -= potential * columns[i, j]
    best, lowest = NONE, -BELOW_PLANE
    for j in range(count):
        if depth[j] < lowest:
            best, lowest = j, depth[j]
    for i in range(len(potentials)):
        if -potentials[i] < lowest:
            best, lowest = -1 - i, -potentials[i]
    return best, lowest


@compiled
def first_below(columns: Any, energies: Any, count: Any, potentials: Any, depth: Any) -> Any:
    """The first phase below the plane of the mixture (Bland's rule), and how far."""
    steepest(columns, energies, count, potentials, depth)
    for i in range(len(potentials) - 1, -1, -1):
        if -potentials[i] < -BELOW_PLANE:
            return -1 - i, -potentials[i]
    for j in range(count):
        if depth[j] < -BELOW_PLANE:
            return j, depth[j]
    return NONE, 0.0


@compiled
def leaving_row(change: Any, amounts: Any, basis: Any, orderly: Any) -> Any:
    """The phase of the mixture that is used up first as the entering one grows, -1 for none.

    Of the phases used up within rounding of one another, the one with the largest pivot leaves
    (Harris, 1973), or, in the orderly mode, the one with the smallest number (Bland's rule).
    """
    limit = np.inf
    for i in range(len(change)):
        if change[i] > SMALLEST_PIVOT:
            limit = min(limit, (max(amounts[i], 0.0) + USED_UP) / change[i])
    row = -1
    for i in range(len(change)):
        if change[i] > SMALLEST_PIVOT and max(amounts[i], 0.0) / change[i] <= limit:
            better = row < 0 or (basis[i] < basis[row] if orderly else change[i] > change[row])
            if better:
                row = i
    return row


@compiled
def restore(columns: Any, energies: Any, x: Any, mixture: Any) -> Any:
    """Compute amounts and potentials of a mixture afresh, after a Newton step on its inverse.

    Returns whether the mixture is sound: its inverse was one, and no amount is negative.
    """
    basis, amounts, potentials, inverse = mixture
    size = len(x)
    worst = 0.0
    error = np.empty((size, size))
    for j in range(size):
        for i in range(size):
            total = 0.0
            if basis[j] < 0:
                total = inverse[i, -1 - basis[j]]
            else:
                for m in range(size):
                    total += inverse[i, m] * columns[m, basis[j]]
            error[i, j] = (1.0 if i == j else 0.0) - total
            worst = max(worst, abs(error[i, j]))
    corrected = inverse.copy()
    for i in range(size):
        for m in range(size):
            for j in range(size):
                corrected[i, m] += error[i, j] * inverse[j, m]
    for i in range(size):
        total = 0.0
        for m in range(size):
            inverse[i, m] = corrected[i, m]
            total += corrected[i, m] * x[m]
        amounts[i] = total
        worst = max(worst, -total)
    for m in range(size):
        total = 0.0
        for i in range(size):
            if basis[i] >= 0:
                total += energies[basis[i]] * inverse[i, m]
        potentials[m] = total
    return worst < SOUND


@compiled
def cheapest(columns: Any, energies: Any, count: Any, x: Any, mixture: Any, depth: Any) -> Any:
    """Fill in the cheapest mixture at a composition.

    Parameters
    ----------
    columns
        float64 [k, >= count], atomic fractions of the phases.
    energies
        float64 [>= count], eV/atom above the elements; infinite for a phase that is left out.
    count
        Phases that take part; the elements take part besides, at zero energy.
    x
        float64 [k], atomic fractions wanted.
    mixture
        basis int64 [k] (phase, or -1 - i for element i), amounts [k], potentials [k] (eV/atom) and
        inverse [k, k], written over.
    depth
        Working space [>= count].

    Returns
    -------
    float
        Energy of the mixture, eV/atom above the elements; NaN when the programme was given up.
    """
    basis, amounts, potentials, inverse = mixture
    size = len(x)
    change = np.empty(size)
    for i in range(size):
        basis[i], amounts[i], potentials[i] = -1 - i, x[i], 0.0
        for j in range(size):
            inverse[i, j] = 1.0 if i == j else 0.0
    restored = True
    for step in range(MOST_STEPS):
        orderly = step >= DANTZIG_STEPS
        if orderly:
            entering, below = first_below(columns, energies, count, potentials, depth)
        else:
            entering, below = steepest(columns, energies, count, potentials, depth)
        if entering == NONE:
            if restored:
                total = 0.0
                for i in range(size):
                    if basis[i] >= 0:
                        total += energies[basis[i]] * amounts[i]
                return total
            if not restore(columns, energies, x, mixture):
                return np.nan
            restored = True
            continue
        for i in range(size):
            change[i] = 0.0
            if entering < 0:
                change[i] = inverse[i, -1 - entering]
                continue
            for m in range(size):
                change[i] += inverse[i, m] * columns[m, entering]
        row = leaving_row(change, amounts, basis, orderly)
        if row < 0:
            return np.nan
        exchange(mixture, row, entering, change, below)
        restored = False
    return np.nan


@compiled
def exchange(mixture: Any, row: Any, entering: Any, change: Any, below: Any) -> None:
    """Put a phase in the place of another in a mixture."""
    basis, amounts, potentials, inverse = mixture
    size = len(change)
    basis[row] = entering
    amount = max(amounts[row], 0.0) / change[row]
    for j in range(size):
        inverse[row, j] /= change[row]
        potentials[j] += below * inverse[row, j]
    for i in range(size):
        if i != row:
            amounts[i] -= change[i] * amount
            for j in range(size):
                inverse[i, j] -= change[i] * inverse[row, j]
    amounts[row] = amount


@compiled
def new_mixture(size: Any) -> Any:
    """Room for one mixture of k phases."""
    return (
        np.zeros(size, np.int64),
        np.zeros(size),
        np.zeros(size),
        np.zeros((size, size)),
    )


@compiled
def fits(x: Any, mixture: Any) -> Any:
    """Whether the phases of a mixture hold another composition too; if so, take its amounts."""
    _, amounts, _, inverse = mixture
    size = len(x)
    for i in range(size):
        total = 0.0
        for j in range(size):
            total += inverse[i, j] * x[j]
        if total < 0.0:
            return False
        amounts[i] = total
    return True


@compiled
def cheapest_mixtures(columns: Any, energies: Any, targets: Any, excluded: Any, phases: Any,
                      amounts: Any, potentials: Any) -> None:  # fmt: skip
    """The cheapest mixture at each of many compositions of one system.

    Parameters
    ----------
    columns, energies
        Atomic fractions [k, n] and energies [n] of the phases, eV/atom above the elements.
    targets
        float64 [m, k], atomic fractions.
    excluded
        int64 [m], a phase that may not take part, or -1.
    phases, amounts, potentials
        [m, k], written: the phases (-1 - i for element i), their amounts, and the chemical
        potentials; NaN amounts where the programme was given up.
    """
    size, count = columns.shape
    mixture = new_mixture(size)
    depth = np.empty(count)
    trial = energies.copy()
    warm = False
    for row in range(len(targets)):
        out = excluded[row]
        if out >= 0:
            trial[out] = np.inf
        if out >= 0 or not warm or not fits(targets[row], mixture):
            energy = cheapest(columns, trial, count, targets[row], mixture, depth)
            warm = out < 0 and not np.isnan(energy)
            if np.isnan(energy):
                mixture[1][:] = np.nan
        if out >= 0:
            trial[out] = energies[out]
        for i in range(size):
            phases[row, i] = mixture[0][i]
            amounts[row, i] = mixture[1][i]
            potentials[row, i] = mixture[2][i]


@compiled
def find_slot(keys: Any, key: Any) -> Any:
    """The place of a key in an open-addressed table, or the free place where it would go."""
    last = np.uint64(len(keys) - 1)
    slot = key & last
    while keys[slot] != np.uint64(0) and keys[slot] != key:
        slot = (slot + np.uint64(1)) & last
    return slot


@compiled
def fill_table(marks: Any, keys: Any, numbers: Any) -> None:
    """Enter the systems' marks in an open-addressed table: ``numbers`` is each one's position."""
    for system in range(len(marks)):
        slot = find_slot(keys, marks[system])
        keys[slot], numbers[slot] = marks[system], system


@compiled
def sub_systems(elements: Any, size: Any, element_marks: Any, table: Any, found: Any) -> Any:
    """The systems in the table made of some of these elements; the whole one comes last."""
    keys, numbers = table
    count = 0
    for subset in range(1, 1 << size):
        mark = np.uint64(0)
        for i in range(size):
            if (subset >> i) & 1:
                mark += element_marks[elements[i]]
        slot = find_slot(keys, mark)
        if keys[slot] == mark:
            found[count] = numbers[slot]
            count += 1
    return count


@compiled
def gather(whole: Any, members: Any, count: Any, starts: Any, competes: Any) -> Any:
    """The phases of a system: all of its own, and of its sub-systems those on their hulls."""
    total = 0
    for number in range(count):
        total += starts[members[number] + 1] - starts[members[number]]
    chosen = np.empty(total, np.int64)
    kept = 0
    for number in range(count):
        system = members[number]
        for phase in range(starts[system], starts[system + 1]):
            if system == whole or competes[phase]:
                chosen[kept] = phase
                kept += 1
    return chosen[:kept]


@compiled
def mix_in_systems(systems: Any, targets: Any, table: Any, phases: Any, result: Any) -> None:
    """The cheapest mixture at compositions of many chemical systems, each in its own.

    Parameters
    ----------
    systems
        Elements int64 [s, w] of each system, their number int64 [s], and where each system's
        targets start, int64 [s+1].
    targets
        Atomic fractions float64 [t, w] over the elements of the target's system, and the phase
        int64 [t] that may not take part, or -1.
    table
        Keys uint64 and numbers int64 of the systems that have phases, and the marks uint64 [256]
        of the elements.
    phases
        All phases, sorted by system: elements, fractions and offsets (ragged), energies [p] in
        eV/atom above the elements, where each system's phases start, and bool [p] whether the phase
        is on the hull of its system.
    result
        Written: energies float64 [t], phases int64 [t, w] (-1 - Z for element Z), amounts [t, w].
    """
    system_elements, sizes, target_starts = systems
    fractions, excluded = targets
    keys, numbers, element_marks = table
    phase_elements, phase_fractions, offsets, phase_energies, starts, competes = phases
    energies, products, amounts = result
    place = np.zeros(256, np.int64)
    members = np.empty(1 << system_elements.shape[1], np.int64)
    for system in range(len(sizes)):
        size = sizes[system]
        elements = system_elements[system]
        count = sub_systems(elements, size, element_marks, (keys, numbers), members)
        mark = np.uint64(0)
        for i in range(size):
            place[elements[i]] = i
            mark += element_marks[elements[i]]
        slot = find_slot(keys, mark)
        whole = numbers[slot] if keys[slot] == mark else -1
        chosen = gather(whole, members, count, starts, competes)
        columns = np.zeros((size, len(chosen)))
        trial = np.empty(len(chosen))
        for j in range(len(chosen)):
            trial[j] = phase_energies[chosen[j]]
            for i in range(offsets[chosen[j]], offsets[chosen[j] + 1]):
                columns[place[phase_elements[i]], j] = phase_fractions[i]
        depth = np.empty(len(chosen))
        mixture = new_mixture(size)
        for row in range(target_starts[system], target_starts[system + 1]):
            for j in range(len(chosen)):
                trial[j] = np.inf if chosen[j] == excluded[row] else phase_energies[chosen[j]]
            energies[row] = cheapest(
                columns, trial, len(chosen), fractions[row, :size], mixture, depth
            )
            for i in range(size):
                phase = mixture[0][i]
                products[row, i] = chosen[phase] if phase >= 0 else -1 - elements[-1 - phase]
                amounts[row, i] = mixture[1][i]
