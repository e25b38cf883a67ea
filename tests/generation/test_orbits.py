from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.crystals.symmetry import operations
from materialabs.errors import InputError, PhysicsError
from materialabs.generation.orbits import (
    choice_counts,
    inequivalent_choices,
    orbit_choices,
    periodic_choices,
    restricted,
)
from materialabs.generation.supercells import supercell, superlattices

PEROVSKITE = Crystals.from_arrays(
    [np.eye(3) * 4.0],
    [[[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]],
    [[56, 22, 8, 8, 8]],
)
DOUBLE = 2 * np.eye(3, dtype=int)
ROOT_TWO = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])


def perovskite_in(matrix):
    rotations, translations = operations(PEROVSKITE).of(0)
    return supercell(PEROVSKITE.lattice[0], PEROVSKITE.frac, (rotations, translations), matrix)


def group_from(generators: list[tuple[int, ...]], sites: int) -> np.ndarray:
    found = {tuple(range(sites))}
    frontier = list(found)
    while frontier:
        new = {tuple(g[i] for i in p) for p in frontier for g in generators} - found
        found |= new
        frontier = list(new)
    return np.array(sorted(found), dtype=np.int16)


def classes_by_brute_force(group: np.ndarray, k: int) -> set[frozenset[frozenset[int]]]:
    subsets = itertools.combinations(range(group.shape[1]), k)
    return {
        frozenset(frozenset(int(row[i]) for i in subset) for row in group) for subset in subsets
    }


@st.composite
def groups(draw):
    sites = draw(st.integers(1, 6))
    count = draw(st.integers(0, 2))
    return group_from([tuple(draw(st.permutations(range(sites)))) for _ in range(count)], sites)


@given(groups())
def test_burnside_counts_are_those_of_brute_force(group):
    sites = group.shape[1]
    wanted = [len(classes_by_brute_force(group, k)) for k in range(sites + 1)]
    assert choice_counts(group) == wanted


@given(groups())
def test_every_class_has_exactly_one_representative(group):
    sites = group.shape[1]
    choices = inequivalent_choices(group, most=10_000)
    assert not choices.cut
    for k in range(1, sites + 1):
        classes = classes_by_brute_force(group, k)
        rows = [frozenset(np.flatnonzero(row).tolist()) for row in choices.chosen if row.sum() == k]
        reached = {cls for row in rows for cls in classes if row in cls}
        assert len(rows) == len(reached) == len(classes)


def test_necklaces_are_counted_as_in_the_textbook():
    turn = group_from([(1, 2, 3, 4, 5, 0)], 6)
    assert choice_counts(turn) == [1, 1, 3, 4, 3, 1, 1]
    assert sum(choice_counts(turn)) == 14


@pytest.mark.parametrize("matrix", [DOUBLE, ROOT_TWO, np.diag([1, 2, 3])])
@pytest.mark.parametrize("atom", [0, 1, 2])
def test_choices_in_a_perovskite_supercell_number_as_burnside_says(matrix, atom):
    large = perovskite_in(matrix)
    sites = np.flatnonzero(np.isin(large.parent_site, [atom] if atom < 2 else [2, 3, 4]))
    group = restricted(large.permutations, sites)
    choices = inequivalent_choices(group, most=3000)
    counts = choice_counts(group)
    sizes = np.bincount(choices.chosen.sum(axis=1), minlength=len(sites) + 1)
    for k in range(1, len(sites) + 1):
        assert sizes[k] == (0 if k in choices.cut else counts[k])


def test_choices_on_eight_corner_sites_match_brute_force():
    large = perovskite_in(DOUBLE)
    group = restricted(large.permutations, np.flatnonzero(large.parent_site == 1))
    wanted = [len(classes_by_brute_force(group, k)) for k in range(9)]
    assert choice_counts(group) == wanted
    assert len(inequivalent_choices(group).chosen) == sum(wanted) - 1


def test_the_group_of_a_supercell_is_the_crystals_order_times_its_translations():
    assert len(perovskite_in(DOUBLE).permutations) == 48 * 8
    assert len(perovskite_in(DOUBLE).translations) == 7
    assert len(perovskite_in(ROOT_TWO).permutations) == 48 * 2


def test_the_permutations_are_closed():
    group = perovskite_in(ROOT_TWO).permutations
    known = {tuple(row) for row in group.tolist()}
    for first, second in itertools.product(group[:12], group):
        assert tuple(first[second].tolist()) in known


def test_complements_fall_into_as_many_classes():
    large = perovskite_in(DOUBLE)
    counts = choice_counts(restricted(large.permutations, np.flatnonzero(large.parent_site == 0)))
    assert counts == counts[::-1]


def test_sizes_with_too_many_choices_are_cut_and_counted():
    identity = np.arange(12, dtype=np.int16)[None, :]
    choices = inequivalent_choices(identity, most=70)
    assert choices.cut == {k: choice_counts(identity)[k] for k in range(3, 10)}
    assert set(choices.chosen.sum(axis=1).tolist()) == {1, 2, 10, 11, 12}


def test_more_than_64_sites_are_refused():
    with pytest.raises(InputError, match="at most 64"):
        inequivalent_choices(np.arange(65, dtype=np.int16)[None, :])


def test_sites_that_are_no_whole_orbits_are_refused():
    with pytest.raises(InputError, match="whole orbits"):
        restricted(perovskite_in(ROOT_TWO).permutations, [2])


def test_choices_that_a_translation_repeats_are_recognised():
    large = perovskite_in(DOUBLE)
    rock_salt = np.zeros((2, len(large.frac)), dtype=bool)
    titanium = np.flatnonzero(large.parent_site == 1)
    parity = np.rint(large.frac[titanium] * 2 - 0.5).sum(axis=1) % 2 == 0
    rock_salt[0, titanium[parity]] = True
    rock_salt[1, titanium[0]] = True
    assert periodic_choices(rock_salt, large.translations).tolist() == [True, False]


@pytest.mark.parametrize(
    ("size", "count"), [(1, 1), (2, 3), (3, 3), (4, 9), (5, 5), (6, 13), (7, 7), (8, 24)]
)
def test_inequivalent_cubic_superlattices_number_as_hart_and_forcade_print(size, count):
    rotations, _ = operations(PEROVSKITE).of(0)
    found = superlattices(rotations, size)
    assert len(found) == count
    assert all(round(np.linalg.det(matrix)) == size for matrix in found)


def test_a_supercell_has_the_same_distances():
    from ase import Atoms
    from ase.geometry import get_distances

    large = perovskite_in(ROOT_TWO)
    _, small = get_distances(PEROVSKITE.positions[:1], cell=PEROVSKITE.lattice[0], pbc=True)
    atoms = Atoms(["H"] * 10, cell=large.lattice, scaled_positions=large.frac, pbc=True)
    assert atoms.get_volume() == pytest.approx(128.0)
    assert small.shape == (1, 1)
    near = np.sort(atoms.get_all_distances(mic=True)[large.parent_site == 1][:, :], axis=1)
    assert near[:, 1] == pytest.approx(2.0)


def test_a_flat_supercell_is_refused():
    with pytest.raises(InputError, match="determinant"):
        perovskite_in(np.ones((3, 3)))


def test_operations_that_do_not_permute_the_sites_are_refused():
    wrong = (np.eye(3, dtype=np.int8)[None], np.array([[0.25, 0.0, 0.0]]))
    with pytest.raises(PhysicsError, match="does not permute"):
        supercell(PEROVSKITE.lattice[0], PEROVSKITE.frac, wrong, np.eye(3))


def test_whole_orbits_are_taken_up_to_the_cap_and_all_together():
    chosen = orbit_choices([0, 0, 5, 7], most_orbits=1)
    assert chosen.tolist() == [
        [True, True, False, False],
        [False, False, True, False],
        [False, False, False, True],
        [True, True, True, True],
    ]


def test_one_orbit_gives_one_choice():
    assert orbit_choices([3, 3], most_orbits=2).tolist() == [[True, True]]


def test_the_uncompiled_kernels_give_the_same():
    from materialabs.generation import orbit_kernels
    from materialabs.generation.orbits import site_bits

    group = group_from([(1, 2, 3, 0)], 4)
    bits = site_bits(group)
    level = np.zeros(1, dtype=np.uint64)
    grown = orbit_kernels.grown_choices(level, bits)
    assert np.array_equal(grown, orbit_kernels.grown_choices.py_func(level, bits))
    assert orbit_kernels.is_canonical.py_func(grown[0], bits)
    assert not orbit_kernels.is_canonical.py_func(grown[0] >> np.uint64(1), bits)
    rotations, translations = operations(PEROVSKITE).of(0)
    arguments = (
        PEROVSKITE.frac, PEROVSKITE.lattice[0] @ PEROVSKITE.lattice[0].T,
        rotations.astype(float)[:4], translations[:4], 0.3,
    )  # fmt: skip
    assert np.array_equal(
        orbit_kernels.site_images(*arguments), orbit_kernels.site_images.py_func(*arguments)
    )
