"""Compiled search for the distinct atoms and bonds of crystals."""

from __future__ import annotations

import numpy as np
from numba import njit

MIX = np.uint64(0x9E3779B97F4A7C15)
FIRST_MIX = np.uint64(0xBF58476D1CE4E5B9)
SECOND_MIX = np.uint64(0x94D049BB133111EB)


@njit(cache=True, nogil=True)
def scrambled(value):  # type: ignore[no-untyped-def]
    """A 64-bit number that looks random (splitmix64: Steele, Lea and Flood 2014)."""
    value = (value ^ (value >> np.uint64(30))) * FIRST_MIX
    value = (value ^ (value >> np.uint64(27))) * SECOND_MIX
    return value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True)
def mark_shells(distance, tolerance, shells, spans):  # type: ignore[no-untyped-def]
    """Number the shells of one crystal's distances; equal ones share a shell.

    A shell holds distances that follow one another within ``tolerance`` and spans at most
    ``spans`` tolerances.
    """
    order = np.argsort(distance)
    shell, start, last = -1, -np.inf, -np.inf
    for edge in order:
        here = distance[edge]
        if here - last > tolerance or here - start > spans * tolerance:
            shell += 1
            start = here
        last = here
        shells[edge] = shell


@njit(cache=True, nogil=True)
def ranks_of(keys, colours):  # type: ignore[no-untyped-def]
    """Colour equal keys alike, 0, 1, 2 ... in the order of first appearance; their count."""
    count = len(keys)
    order = np.argsort(keys)
    group = np.empty(count, np.int64)
    groups = 0
    for place in range(count):
        if place and keys[order[place]] != keys[order[place - 1]]:
            groups += 1
        group[order[place]] = groups
    groups += 1
    names = np.full(groups, -1, np.int64)
    seen = 0
    for atom in range(count):
        if names[group[atom]] < 0:
            names[group[atom]] = seen
            seen += 1
        colours[atom] = names[group[atom]]
    return groups


@njit(cache=True, nogil=True)
def refine(numbers, first, second, shells, colours):  # type: ignore[no-untyped-def]
    """Colour the atoms of one crystal until equal colours have equal surroundings; their count.

    Weisfeiler and Leman's refinement (1968) with the shell of each bond as its label.
    """
    count = len(numbers)
    keys = numbers.astype(np.uint64)
    if count == 1:
        colours[0] = 0
        return 1
    known = ranks_of(keys, colours)
    while True:
        for atom in range(count):
            keys[atom] = scrambled(np.uint64(colours[atom]) + MIX)
        for edge in range(len(first)):
            label = np.uint64(shells[edge]) * MIX + np.uint64(colours[second[edge]]) * SECOND_MIX
            keys[first[edge]] += scrambled(label + FIRST_MIX)
        found = ranks_of(keys, colours)
        if found <= known:
            return found
        known = found


@njit(cache=True, nogil=True)
def keep_nearest(first, distance, wanted, slack, kept):  # type: ignore[no-untyped-def]
    """Mark the bonds of each atom that reach as far as its ``wanted``-th neighbour.

    Bonds are sorted by their first atom. Those up to ``slack`` (relative) longer belong to the
    same shell and stay, so that no shell is cut.
    """
    begin, edges = 0, len(first)
    while begin < edges:
        end = begin
        while end < edges and first[end] == first[begin]:
            end += 1
        reach = np.inf
        if end - begin > wanted:
            reach = np.partition(distance[begin:end], wanted - 1)[wanted - 1] * (1.0 + slack)
        for edge in range(begin, end):
            kept[edge] = distance[edge] <= reach
        begin = end


@njit(cache=True, nogil=True)
def distinct_bonds(  # type: ignore[no-untyped-def]
    numbers, atom_offsets, first, second, distance, edge_offsets, tolerances, spans, wanted, slack,
    site_number, site_share, site_offsets,
    bond_from, bond_to, bond_length, bond_count, bond_offsets,
):  # fmt: skip
    """Write the distinct sites of each crystal, and the distinct bonds of one atom of each site.

    Arrays for the sites hold as many rows as atoms, for the bonds as many as edges; what is used
    is ``site_offsets[-1]`` and ``bond_offsets[-1]``. Bonds name sites within their crystal.
    """
    sites, bonds = 0, 0
    site_offsets[0] = 0
    bond_offsets[0] = 0
    for crystal in range(len(atom_offsets) - 1):
        atom, end = atom_offsets[crystal], atom_offsets[crystal + 1]
        edge, last = edge_offsets[crystal], edge_offsets[crystal + 1]
        count = end - atom
        kept = np.empty(last - edge, np.bool_)
        keep_nearest(first[edge:last], distance[edge:last], wanted, slack, kept)
        own_first = first[edge:last][kept] - atom
        own_second = second[edge:last][kept] - atom
        length = distance[edge:last][kept]
        edges = len(length)
        shells = np.empty(edges, np.int64)
        mark_shells(length, tolerances[crystal], shells, spans)
        colours = np.empty(count, np.int64)
        found = refine(numbers[atom:end], own_first, own_second, shells, colours)
        chosen = np.full(found, -1, np.int64)
        for place in range(count):
            colour = colours[place]
            if chosen[colour] < 0:
                chosen[colour] = place
                site_number[sites + colour] = numbers[atom + place]
                site_share[sites + colour] = 0.0
            site_share[sites + colour] += 1.0 / count
        place = 0
        for colour in range(found):
            while place < edges and own_first[place] < chosen[colour]:
                place += 1
            begin = place
            while place < edges and own_first[place] == chosen[colour]:
                place += 1
            keys = np.empty(place - begin, np.int64)
            for k in range(begin, place):
                keys[k - begin] = shells[k] * found + colours[own_second[k]]
            order = np.argsort(keys)
            for k in range(len(order)):
                if k == 0 or keys[order[k]] != keys[order[k - 1]]:
                    bond_from[bonds] = colour
                    bond_to[bonds] = colours[own_second[begin + order[k]]]
                    bond_length[bonds] = 0.0
                    bond_count[bonds] = 0.0
                    bonds += 1
                bond_length[bonds - 1] += length[begin + order[k]]
                bond_count[bonds - 1] += 1.0
        for bond in range(bond_offsets[crystal], bonds):
            bond_length[bond] /= bond_count[bond]
        sites += found
        site_offsets[crystal + 1] = sites
        bond_offsets[crystal + 1] = bonds
