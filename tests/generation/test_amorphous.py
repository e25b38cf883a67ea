from __future__ import annotations

import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from materialabs.errors import InputError, PhysicsError
from materialabs.generation.amorphous import amorphous, whole_units


def test_density_is_the_one_asked_for():
    atoms = amorphous("SiO2", atoms=90, density=2.2).crystals.to_ase()[0]
    grams = atoms.get_masses().sum() / 6.02214076e23
    assert grams / (atoms.get_volume() * 1e-24) == pytest.approx(2.2, rel=1e-6)


def test_cells_are_cubes_of_whole_formula_units():
    crystals = amorphous("SiO2", 3, atoms=100).crystals
    assert crystals.reduced_formulas() == ["SiO2"] * 3
    assert (crystals.counts == 99).all()
    edges = crystals.lattice[:, [0, 1, 2], [0, 1, 2]]
    assert np.allclose(crystals.lattice, edges[:, :1, None] * np.eye(3))


def test_distances_are_kept():
    crystals = amorphous("SiO2", 2, atoms=120, minimum_distances="Si-O=1.5,O-O=2.2").crystals
    assert len(crystals) == 2
    for atoms in crystals.to_ase():
        first, second, distance = neighbor_list("ijd", atoms, 2.2)
        oxygens = atoms.numbers == 8
        both = oxygens[first] & oxygens[second]
        assert (distance[both] >= 2.2 - 1e-9).all()
        assert (distance[oxygens[first] != oxygens[second]] >= 1.5 - 1e-9).all()


def test_cells_have_no_symmetry():
    import moyopy

    crystal = amorphous("C", atoms=30).crystals
    cell = moyopy.Cell(crystal.lattice[0].tolist(), crystal.frac.tolist(), crystal.numbers.tolist())
    assert moyopy.MoyoDataset(cell, symprec=1e-3).number == 1


def test_the_same_seed_gives_the_same_cells():
    one, two, other = (amorphous("CuZr", 2, atoms=40, seed=seed).crystals for seed in (4, 4, 5))
    assert np.array_equal(one.frac, two.frac)
    assert not np.array_equal(one.frac, other.frac)


def test_neighbour_lists_grow_for_dense_cells():
    candidates = amorphous("C", atoms=60, density=3.5, minimum_distances=1.3)
    assert len(candidates) == 1


def test_a_density_that_is_certainly_too_high_is_refused():
    with pytest.raises(PhysicsError, match="Amorphous SiO2 is too dense"):
        amorphous("SiO2", atoms=90, density=60.0)


def test_a_push_off_that_does_not_end_is_counted():
    # within 5 % of the closest packing of spheres, where nothing random gets
    candidates = amorphous("C", 2, atoms=40, density=3.5, minimum_distances=1.97)
    assert len(candidates) == 0
    assert list(candidates.reasons.values()) == [2]
    assert "did not end" in next(iter(candidates.reasons))


def test_nothing_asked_for_gives_nothing():
    assert len(amorphous("SiO2", 0)) == 0


def test_at_least_one_formula_unit_is_packed():
    assert whole_units("SiO2", 1)[0] == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"formula": "Si0.5O"}, "not whole"),
        ({"atoms": 0}, "1 to 20000 atoms"),
        ({"density": -1.0}, "above zero"),
        ({"density": float("inf")}, "above zero"),
    ],
)
def test_arguments_without_sense_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        amorphous(**{"formula": "SiO2", **arguments})
