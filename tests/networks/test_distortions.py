"""Unrelaxed copies of relaxed crystals."""

from __future__ import annotations

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.occupancy import Occupancy
from materialabs.crystals.protostructure import protostructure_labels, prototype_labels
from materialabs.networks.distortions import RATTLE, borrowed, fitted_volumes, shaken
from tests.networks.test_graphs import random_crystal, rock_salt

FLUORITE = ([[0, 0, 0], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]], 0.5)


def salt(first: int, second: int, spacing: float) -> Crystals:
    return rock_salt(spacing).replace(numbers=np.array([first, second], np.uint8))


def fluorite(cation: int, anion: int, spacing: float) -> Crystals:
    cell = spacing * 0.5 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystals.from_arrays([cell], [FLUORITE[0]], [[cation, anion, anion]])


def family() -> Crystals:
    """NaCl, MgO, KBr, LiF in one type; CaF2 and its like with roles swapped, Li2O."""
    return Crystals.concat([
        salt(11, 17, 5.64), salt(12, 8, 4.21), salt(19, 35, 6.60), salt(3, 9, 4.03),
        fluorite(20, 9, 5.46), fluorite(8, 3, 4.62),
    ])  # fmt: skip


def test_a_borrowed_copy_keeps_formula_and_type() -> None:
    crystals = family()
    rows = np.arange(6)
    copies = borrowed(crystals, rows, rows, prototype_labels(crystals), seed=0, copies=2)
    assert len(copies.original) >= 10
    np.testing.assert_array_equal(
        copies.crystals.reduced_formulas(), crystals.take(copies.original).reduced_formulas()
    )
    assert protostructure_labels(copies.crystals) == protostructure_labels(
        crystals.take(copies.original)
    )


def test_a_borrowed_copy_of_a_batch_with_an_occupancy_table_is_the_same() -> None:
    """The table stays when disordered crystals are taken out of a batch."""
    crystals, rows = family(), np.arange(6)
    tabled = crystals.replace(occupancy=Occupancy.full(crystals.numbers))
    types = prototype_labels(crystals)
    plain = borrowed(crystals, rows, rows, types, seed=0).crystals
    found = borrowed(tabled, rows, rows, types, seed=0).crystals
    assert found.reduced_formulas() == plain.reduced_formulas()
    np.testing.assert_array_equal(found.lattice, plain.lattice)


def test_roles_follow_the_amounts_and_not_the_place_in_the_cell() -> None:
    crystals = family()
    copies = borrowed(crystals, np.array([5]), np.array([4]), prototype_labels(crystals), seed=0)
    numbers, counts = np.unique(copies.crystals.numbers, return_counts=True)
    assert dict(zip(numbers.tolist(), counts.tolist(), strict=True)) == {3: 2, 8: 1}


def test_cations_stand_in_for_cations() -> None:
    crystals = family()
    copies = borrowed(crystals, np.array([0]), np.array([2]), prototype_labels(crystals), seed=0)
    assert copies.crystals.numbers.tolist() == [11, 17]


def test_a_child_never_borrows_from_its_own_formula() -> None:
    crystals = Crystals.concat([salt(11, 17, 5.6), salt(11, 17, 5.7)])
    copies = borrowed(crystals, np.arange(2), np.arange(2), prototype_labels(crystals), seed=0)
    assert len(copies.original) == 0


def test_only_the_given_parents_lend() -> None:
    crystals = family()
    copies = borrowed(
        crystals, np.arange(4), np.array([1, 2]), prototype_labels(crystals), seed=3, copies=4
    )
    assert set(copies.parent.tolist()) <= {1, 2}


def test_fitted_volumes_recover_additive_ones() -> None:
    random = np.random.default_rng(0)
    true = {11: 20.0, 17: 30.0, 8: 11.0}
    crystals = []
    for _ in range(200):
        numbers = random.choice(list(true), 6)
        edge = np.cbrt(sum(true[int(n)] for n in numbers))
        crystals.append(
            Crystals.from_arrays([edge * np.eye(3)], [random.random((6, 3))], [numbers])
        )
    fitted = fitted_volumes(Crystals.concat(crystals))
    assert {n: fitted[n] for n in true} == pytest.approx(true, rel=0.06)


def test_shaken_atoms_move_as_far_as_stated() -> None:
    crystals = Crystals.concat([random_crystal(seed, atoms=20) for seed in range(50)])
    copies = shaken(crystals, np.arange(50), seed=1)
    moves = copies.crystals.frac - crystals.frac
    cartesian = np.einsum("ni,nij->nj", moves, copies.crystals.lattice[copies.crystals.owners])
    assert cartesian.std() == pytest.approx(RATTLE, rel=0.05)


def test_the_same_seed_shakes_alike() -> None:
    crystals = random_crystal(0)
    first, second = (shaken(crystals, np.array([0]), 7).crystals for _ in range(2))
    np.testing.assert_array_equal(first.frac, second.frac)
    np.testing.assert_array_equal(first.lattice, second.lattice)
