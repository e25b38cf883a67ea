from __future__ import annotations

import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from materialabs.errors import InputError, PhysicsError
from materialabs.generation.slabs import random_slabs


def test_slabs_are_periodic_in_the_plane_alone():
    crystals = random_slabs("MoS2", 5, thickness=3.2).crystals
    assert (crystals.pbc == [True, True, False]).all()
    assert np.allclose(crystals.lattice[:, 2], [0, 0, 18.2])
    assert np.allclose(crystals.lattice[:, :2, 2], 0)


def test_atoms_stay_within_the_thickness():
    crystals = random_slabs("MoS2", 20, thickness=3.2).crystals
    heights = crystals.positions[:, 2] - 9.1
    assert np.abs(heights).max() <= 1.6 + 1e-9


def test_no_thickness_gives_a_flat_layer():
    crystals = random_slabs("C", 10, thickness=0.0, cells=6).crystals
    assert len(crystals) == 10
    assert np.allclose(crystals.frac[:, 2], 0.5)


def test_distances_are_kept():
    crystals = random_slabs("MoS2", 10, thickness=3.2, minimum_distances=1.8).crystals
    for atoms in crystals.to_ase():
        assert len(neighbor_list("d", atoms, 1.8 - 1e-9)) == 0


def test_composition_is_that_asked_for():
    assert set(random_slabs("MoS2", 4, thickness=3.2, cells=3).crystals.formulas()) == {"Mo3S6"}


def test_area_follows_the_volume_factor():
    crystals = random_slabs("MoS2", 10, thickness=3.2).crystals
    areas = np.linalg.norm(np.cross(crystals.lattice[:, 0], crystals.lattice[:, 1]), axis=1)
    ratio = areas / crystals.columns["volume_factor"]
    assert np.allclose(ratio, ratio[0])


def test_the_same_seed_gives_the_same_slabs():
    one, two, other = (
        random_slabs("MoS2", 3, thickness=3.2, seed=seed).crystals for seed in (1, 1, 2)
    )
    assert np.array_equal(one.frac, two.frac)
    assert not np.array_equal(one.frac, other.frac)


def test_a_slab_that_is_certainly_too_dense_is_refused():
    with pytest.raises(PhysicsError, match="A slab of 4 MoS2 is too dense"):
        random_slabs("MoS2", 1, thickness=3.2, minimum_distances=6.0)


def test_a_push_off_that_does_not_end_is_counted():
    # a flat layer of circles: at most pi/sqrt(12) of the plane, though spheres would fit
    candidates = random_slabs(
        "C", 3, thickness=0.0, cells=8, minimum_distances=2.25, volume_factors=(0.8, 0.8)
    )
    assert len(candidates) == 0
    assert list(candidates.reasons.values()) == [3]


def test_nothing_asked_for_gives_nothing():
    assert len(random_slabs("C", 0, thickness=1.0)) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"thickness": -1.0}, "from zero"),
        ({"thickness": float("nan")}, "from zero"),
        ({"vacuum": 0.0}, "above zero"),
        ({"volume_factors": (2, 1)}, "range above zero"),
        ({"cells": 0}, "whole number from 1"),
    ],
)
def test_arguments_without_sense_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        random_slabs(**{"formula": "C", "count": 1, "thickness": 2.0, **arguments})
