from __future__ import annotations

import itertools

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.generation.families import families
from materialabs.generation.mining import (
    exchange_counts,
    mined_table,
    replaceability,
    role_elements,
)

CORNER, CENTRE, FACES = [0, 0, 0], [0.5, 0.5, 0.5], [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]


def perovskite(a: int, b: int, x: int, edge: float = 4.0, shift: float = 0.0) -> tuple:
    sites = np.array([CORNER, CENTRE, *FACES]) + shift
    return np.eye(3) * edge, sites, [a, b, x, x, x]


def rock_salt(a: int, b: int, edge: float = 5.0) -> tuple:
    cell = edge / 2 * (np.ones((3, 3)) - np.eye(3))
    return cell, [CORNER, CENTRE], [a, b]


def batch(*parts: tuple) -> Crystals:
    lattices, fracs, numbers = zip(*parts, strict=True)
    return Crystals.from_arrays(lattices, fracs, numbers)


def test_crystals_that_differ_in_elements_alone_are_one_family():
    found = families(batch(perovskite(56, 22, 8), perovskite(38, 40, 16, 4.9), rock_salt(11, 17)))
    assert found.family.tolist() == [0, 0, 1]


def test_roles_do_not_depend_on_elements_or_origin():
    crystals = batch(perovskite(56, 22, 8), perovskite(22, 56, 8, shift=0.5), perovskite(19, 9, 3))
    found = families(crystals)
    roles = found.role.reshape(3, 5)
    assert found.family.tolist() == [0, 0, 0]
    assert np.array_equal(roles[0], roles[1])
    assert np.array_equal(roles[0], roles[2])


def test_a_different_axial_ratio_is_another_family():
    def tetragonal(ratio):
        return np.diag([3.0, 3.0, 3.0 * ratio]), [CORNER, CENTRE], [29, 79]

    found = families(batch(tetragonal(1.3), tetragonal(1.32), tetragonal(2.0)))
    assert found.family[0] == found.family[1] != found.family[2]


def test_exchanging_the_two_roles_of_rock_salt_changes_nothing():
    found = families(batch(rock_salt(11, 17), perovskite(56, 22, 8)))
    assert sorted(map(tuple, found.likeness[0].tolist())) == [(0, 1), (1, 0)]
    assert len(found.likeness[1]) == 1


def test_a_crystal_without_a_symmetry_has_no_family():
    overlapping = (np.eye(3) * 4, [[0, 0, 0], [0, 0, 0.00001]], [6, 6])
    found = families(batch(overlapping, rock_salt(11, 17)))
    assert found.family.tolist() == [-1, 0]


def test_role_distances_are_those_that_ase_finds():
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    from materialabs.generation.family_kernels import role_distances

    lattice, sites, numbers = perovskite(56, 22, 8)
    roles = np.array([0, 1, 2, 2, 2])
    atoms = Atoms(numbers, cell=lattice, scaled_positions=sites, pbc=True)
    spacing = (64.0 / 5) ** (1 / 3)
    first, second, distance = neighbor_list("ijd", atoms, 3 * spacing)
    found = role_distances(lattice, np.asarray(sites, float), roles, 3)
    for r, s in itertools.product(range(3), repeat=2):
        near = [
            np.sort(distance[(first == i) & (roles[second] == s)])[:6]
            for i in np.flatnonzero(roles == r)
        ]
        assert found[r, s, 0] == pytest.approx(np.mean([d[0] for d in near]) / spacing)
        assert found[r, s, 1] == pytest.approx(np.mean([d.mean() for d in near]) / spacing)


def test_the_uncompiled_distances_are_the_same():
    from materialabs.generation.family_kernels import role_distances

    arguments = (np.eye(3) * 3, np.zeros((1, 3)), np.zeros(1, dtype=np.int64), 1)
    assert role_distances.py_func(*arguments) == pytest.approx(role_distances(*arguments))
    assert role_distances(*arguments)[0, 0] == pytest.approx([1.0, 1.0])


def test_the_element_of_each_role_is_read_off():
    crystals = batch(perovskite(56, 22, 8), perovskite(38, 40, 16))
    found = families(crystals)
    rows = role_elements(crystals, found)
    assert {56, 22, 8} == set(rows[0].tolist())
    assert (rows[0] == 56).argmax() == (rows[1] == 38).argmax()
    assert (rows[0] == 22).argmax() == (rows[1] == 40).argmax()


def test_exchanges_are_pairs_that_differ_in_one_role():
    crystals = batch(rock_salt(11, 17), rock_salt(19, 17), rock_salt(37, 17), rock_salt(12, 8))
    exchanges, frequency = exchange_counts(crystals, families(crystals))
    assert exchanges[11, 19] == exchanges[19, 37] == 0.5
    assert exchanges[11, 12] == 0
    assert frequency[17] == 3


def test_a_mined_table_prefers_what_was_seen_to_replace():
    crystals = batch(rock_salt(11, 17), rock_salt(19, 17), rock_salt(12, 8), rock_salt(20, 8))
    table = mined_table(crystals)
    assert table.probability(["K"], ["Na"]) > table.probability(["Mg"], ["Na"]) > 0
    assert np.all(np.diagonal(table.factors) == 1)


def test_the_shipped_table_knows_chemical_relatives():
    table = replaceability()
    _, choices = table.ranked
    nearest = {name: table.names[choices[table.row_of(name)][1]] for name in ("Cl", "K", "Se")}
    assert nearest == {"Cl": "Br", "K": "Rb", "Se": "S"}
