from __future__ import annotations

import numpy as np
import pytest
from ase.neighborlist import neighbor_list
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.errors import InputError, PhysicsError
from materialabs.generation.packing import (
    DENSEST,
    check_density,
    covalent_radii,
    distance_rule,
    distance_table,
    least_volume,
    push_apart,
)


def crowded(seed: int, atoms: int, edge: float) -> Crystals:
    rng = np.random.default_rng(seed)
    lattice = edge * np.eye(3) + rng.uniform(-0.3, 0.3, (3, 3)) * edge
    return Crystals.from_arrays([lattice], [rng.random((atoms, 3))], [np.full(atoms, 14)])


def smallest(crystals: Crystals, cutoff: float) -> float:
    distances = neighbor_list("d", crystals.to_ase()[0], cutoff)
    return float(distances.min()) if len(distances) else np.inf


@given(st.integers(0, 1000), st.integers(2, 12))
def test_distances_are_kept_after_the_push_off(seed, atoms):
    edge = 2.2 * atoms ** (1 / 3)
    packing = push_apart(crowded(seed, atoms, edge), 1.6)
    if packing.packed[0]:
        assert smallest(packing.crystals, 2.0) >= 1.6 - 1e-9


@given(st.integers(0, 1000))
def test_smallest_distance_told_is_that_of_ase(seed):
    packing = push_apart(crowded(seed, 6, 4.5), 2.4, steps=3)
    assert packing.closest[0] * 2.4 == pytest.approx(smallest(packing.crystals, 4.0), abs=1e-9)


@given(st.integers(0, 1000))
def test_push_off_widens_the_smallest_distance(seed):
    start = crowded(seed, 8, 5.0)
    before = smallest(start, 6.0)
    if before >= 1.8:
        return
    assert smallest(push_apart(start, 1.8).crystals, 6.0) > before


def test_a_cell_too_small_for_its_own_image_is_told():
    packing = push_apart(Crystals.from_arrays([2.0 * np.eye(3)], [[[0, 0, 0]]], [[14]]), 3.0)
    assert not packing.packed[0]
    assert packing.closest[0] == pytest.approx(2.0 / 3.0)


def test_atoms_at_the_same_place_do_not_stop_the_push_off():
    frac = [[0.1, 0.1, 0.1], [0.1, 0.1, 0.1], [0.12, 0.1, 0.1]]
    packing = push_apart(Crystals.from_arrays([6.0 * np.eye(3)], [frac], [[14] * 3]), 1.5)
    assert np.isfinite(packing.crystals.frac).all()


def test_molecules_stay_in_their_box():
    rng = np.random.default_rng(2)
    start = Crystals(
        10.0 * np.eye(3)[None], rng.random((12, 3)), np.full(12, 6), np.array([0, 12]),
        np.zeros((1, 3), bool),
    )  # fmt: skip
    packing = push_apart(start, 2.0)
    assert packing.packed[0]
    assert (packing.crystals.frac.min(axis=0) >= start.frac.min(axis=0) - 1e-9).all()
    assert (packing.crystals.frac.max(axis=0) <= start.frac.max(axis=0) + 1e-9).all()


def test_many_crystals_on_threads_are_those_of_one_thread():
    start = Crystals.concat([crowded(seed, 10, 5.0) for seed in range(6)])
    one, two = push_apart(start, 1.8), push_apart(start, 1.8, threads=2)
    assert np.array_equal(one.crystals.frac, two.crystals.frac)


def test_no_crystals_and_no_atoms_are_no_trouble():
    assert len(push_apart(Crystals.empty()).crystals) == 0
    lone = Crystals.from_arrays([3.0 * np.eye(3)], [np.zeros((0, 3))], [np.zeros(0, int)])
    assert push_apart(lone).packed.tolist() == [True]


def test_default_distances_are_a_share_of_the_covalent_radii():
    # Cordero et al. 2008: Li 1.28, O 0.66
    assert distance_table([3, 8]) == pytest.approx(0.7 * np.array([[2.56, 1.94], [1.94, 1.32]]))


def test_a_scale_changes_defaults_and_not_what_is_given():
    table = distance_table([3, 8], {"Li-O": 1.6}, scale=0.5)
    assert table[0, 1] == table[1, 0] == 1.6
    assert table[1, 1] == pytest.approx(0.35 * 1.32)


def test_one_number_counts_for_all_pairs():
    assert (distance_table([3, 8], 1.5) == 1.5).all()
    rule = distance_rule(1.5)
    assert distance_rule(rule) is rule


@pytest.mark.parametrize(
    ("given_distances", "sentence"),
    [
        ("Li-O", "cannot be read at 'Li-O'"),
        ("Li-O=x", "cannot be read"),
        ("", "cannot be read"),
        ("LiO=1.5", "not a pair of elements"),
        ("Li-Xx=1.5", "not a pair of elements"),
        ({"Li-O": -1.0}, "must be 0.1 to 10"),
        ({"Li-O": "far"}, "must be 0.1 to 10"),
        (float("nan"), "must be 0.1 to 10"),
        (True, "must be 0.1 to 10"),
        (11, "must be 0.1 to 10"),
    ],
)
def test_distances_without_sense_are_refused(given_distances, sentence):
    with pytest.raises(InputError, match=sentence):
        distance_table([3, 8], given_distances)


def test_elements_without_a_radius_need_a_distance():
    assert np.isnan(covalent_radii([110])).all()
    with pytest.raises(InputError, match=r"'Ds-Ds=2\.5'"):
        distance_table([110])
    assert distance_table([110], {"Ds-Ds": 2.5}) == [[2.5]]


def test_least_volume_of_equal_spheres_is_their_close_packing():
    # face-centred cubic with nearest neighbours at d takes d^3 / sqrt(2) an atom
    assert least_volume([4], np.array([[2.0]])) == pytest.approx(4 * 8 / np.sqrt(2))
    assert pytest.approx(0.74048, abs=1e-5) == DENSEST


@given(st.integers(0, 500))
def test_least_volume_is_never_above_that_of_a_packing(seed):
    """Whatever distances a cell has, its volume is enough for them."""
    crystal = crowded(seed, 5, 5.0)
    crystal = crystal.replace(numbers=np.array([3, 3, 8, 8, 8], np.uint8))
    first, second, distance = neighbor_list("ijd", crystal.to_ase()[0], 12.0)
    kinds = (crystal.numbers == 8).astype(int)
    nearest = np.full((2, 2), np.inf)
    np.minimum.at(nearest, (kinds[first], kinds[second]), distance)
    assert least_volume([2, 3], nearest) <= crystal.volumes[0]


def test_least_volume_allows_for_unlike_atoms_that_come_nearer():
    # spheres of 1 and 1 angstrom where Li-O may be 2, O-O 4: not of 1 and 2
    nearest = np.array([[2.0, 2.0], [2.0, 4.0]])
    assert least_volume([1, 1], nearest) == pytest.approx(2 * 4 / 3 * np.pi / DENSEST)


def test_a_volume_that_cannot_do_is_refused():
    with pytest.raises(PhysicsError, match="too dense"):
        check_density([4], np.array([[2.0]]), 20.0, "A cell")
    check_density([4], np.array([[2.0]]), 30.0, "A cell")


def test_one_number_written_as_text_holds_for_all_pairs() -> None:
    np.testing.assert_array_equal(distance_table([11, 17], "1.5"), np.full((2, 2), 1.5))
