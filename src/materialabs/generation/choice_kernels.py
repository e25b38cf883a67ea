"""Compiled counting and drawing of Wyckoff positions for a composition."""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from materialabs.random_kernels import uniform


@njit(cache=True, nogil=True)
def fixed_classes(
    multiplicities: NDArray[np.int64], freedom: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct multiplicities of the positions without freedom, and how many have each."""
    sizes = np.zeros(len(multiplicities), np.int64)
    counts = np.zeros(len(multiplicities), np.int64)
    used = 0
    for w in range(len(multiplicities)):
        if freedom[w] > 0:
            continue
        found = -1
        for k in range(used):
            if sizes[k] == multiplicities[w]:
                found = k
        if found < 0:
            found = used
            sizes[found] = multiplicities[w]
            used += 1
        counts[found] += 1
    return sizes[:used], counts[:used]


@njit(cache=True, nogil=True)
def alike(multiplicities: NDArray[np.int64], freedom: NDArray[np.int64], position: int) -> int:
    """Number of positions of the same multiplicity and freedom."""
    count = 0
    for w in range(len(multiplicities)):
        if multiplicities[w] == multiplicities[position] and freedom[w] == freedom[position]:
            count += 1
    return count


@njit(cache=True, nogil=True)
def free_table(
    multiplicities: NDArray[np.int64], freedom: NDArray[np.int64], top: int
) -> NDArray[np.float64]:
    """Weight of all multisets of free positions from w on that hold n atoms [W+1, top+1]."""
    count = len(multiplicities)
    table = np.zeros((count + 1, top + 1))
    table[count, 0] = 1.0
    for w in range(count - 1, -1, -1):
        table[w] = table[w + 1]
        if freedom[w] == 0:
            continue
        size = multiplicities[w]
        weight = 1.0 / alike(multiplicities, freedom, w)
        for n in range(size, top + 1):
            table[w, n] += weight * table[w, n - size]
    return table


@njit(cache=True, nogil=True)
def option_weight(
    state: int,
    option: int,
    atoms: int,
    sizes: NDArray[np.int64],
    counts: NDArray[np.int64],
    free: NDArray[np.float64],
) -> float:
    """Weight of giving one element ``option`` fixed positions when ``state`` are taken.

    Both are numbers in mixed radix, digit k below ``counts[k] + 1``.
    """
    weight = 1.0
    rest = atoms
    for k in range(len(sizes)):
        base = counts[k] + 1
        left = counts[k] - state % base
        wanted = option % base
        if wanted > left:
            return 0.0
        for i in range(wanted):
            weight *= (left - i) / (i + 1) / counts[k]
        rest -= wanted * sizes[k]
        state //= base
        option //= base
    if rest < 0:
        return 0.0
    return float(weight * free[rest])


@njit(cache=True, nogil=True)
def completion_table(
    atoms: NDArray[np.int64],
    sizes: NDArray[np.int64],
    counts: NDArray[np.int64],
    free: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Relative weight of all ways to house elements e.. when ``state`` is taken [E+1, S].

    Each row is scaled to a maximum of one. ``table[0, 0]`` is zero exactly when the composition
    has no home: all terms are sums and products of positive numbers.
    """
    states = 1
    for k in range(len(sizes)):
        states *= counts[k] + 1
    table = np.zeros((len(atoms) + 1, states))
    table[len(atoms)] = 1.0
    for e in range(len(atoms) - 1, -1, -1):
        for state in range(states):
            total = 0.0
            for option in range(states - state):
                weight = option_weight(state, option, atoms[e], sizes, counts, free)
                if weight > 0.0:
                    total += weight * table[e + 1, state + option]
            table[e, state] = total
        largest = table[e].max()
        if largest > 0.0:
            table[e] /= largest
    return table


@njit(cache=True, nogil=True)
def housed(
    atoms: NDArray[np.int64], multiplicities: NDArray[np.int64], freedom: NDArray[np.int64]
) -> bool:
    """Whether some choice of positions holds exactly these numbers of atoms."""
    sizes, counts = fixed_classes(multiplicities, freedom)
    free = free_table(multiplicities, freedom, atoms.max())
    return bool(completion_table(atoms, sizes, counts, free[0])[0, 0] > 0.0)


@njit(cache=True, nogil=True)
def housed_everywhere(
    atoms: NDArray[np.int64],
    position_starts: NDArray[np.int64],
    multiplicities: NDArray[np.int64],
    freedom: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """:func:`housed` for one composition in each space group [groups]."""
    answer = np.zeros(len(position_starts) - 1, np.bool_)
    for g in range(len(answer)):
        start, stop = position_starts[g], position_starts[g + 1]
        answer[g] = housed(atoms, multiplicities[start:stop], freedom[start:stop])
    return answer


@njit(cache=True, nogil=True)
def draw_positions(
    random: NDArray[np.uint64],
    atoms: NDArray[np.int64],
    multiplicities: NDArray[np.int64],
    freedom: NDArray[np.int64],
    sizes: NDArray[np.int64],
    counts: NDArray[np.int64],
    free: NDArray[np.float64],
    completion: NDArray[np.float64],
    positions: NDArray[np.int64],
    elements: NDArray[np.int64],
) -> int:
    """Draw a choice of positions by its weight into two arrays [total atoms]; the sites used."""
    taken = np.zeros(len(multiplicities), np.bool_)
    sites = 0
    state = 0
    for e in range(len(atoms)):
        option = _draw_option(random, state, atoms[e], sizes, counts, free[0], completion[e + 1])
        rest = atoms[e]
        digits = option
        for k in range(len(sizes)):
            for _ in range(digits % (counts[k] + 1)):
                w = _draw_fixed(random, sizes[k], multiplicities, freedom, taken)
                taken[w] = True
                positions[sites] = w
                elements[sites] = e
                sites += 1
                rest -= sizes[k]
            digits //= counts[k] + 1
        state += option
        w = 0
        while rest > 0:
            weight = free[w, rest] - free[w + 1, rest]
            if free[w + 1, rest] == 0.0 or uniform(random) * free[w, rest] < weight:
                positions[sites] = w
                elements[sites] = e
                sites += 1
                rest -= multiplicities[w]
            else:
                w += 1
    return sites


@njit(cache=True, nogil=True)
def _draw_option(
    random: NDArray[np.uint64],
    state: int,
    atoms: int,
    sizes: NDArray[np.int64],
    counts: NDArray[np.int64],
    free: NDArray[np.float64],
    following: NDArray[np.float64],
) -> int:
    states = len(following)
    total = 0.0
    for option in range(states - state):
        weight = option_weight(state, option, atoms, sizes, counts, free)
        total += weight * following[state + option]
    threshold = uniform(random) * total
    last = 0
    for option in range(states - state):
        weight = option_weight(state, option, atoms, sizes, counts, free)
        weight *= following[state + option]
        if weight > 0.0:
            last = option
            threshold -= weight
            if threshold < 0.0:
                break
    return last


@njit(cache=True, nogil=True)
def _draw_fixed(
    random: NDArray[np.uint64],
    size: int,
    multiplicities: NDArray[np.int64],
    freedom: NDArray[np.int64],
    taken: NDArray[np.bool_],
) -> int:
    """One of the fixed positions of this multiplicity that are not taken, each as likely."""
    chosen = -1
    seen = 0
    for w in range(len(multiplicities)):
        if freedom[w] == 0 and multiplicities[w] == size and not taken[w]:
            seen += 1
            if uniform(random) * seen < 1.0:
                chosen = w
    return chosen
