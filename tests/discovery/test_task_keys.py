"""Equal relaxations have equal names, others have others."""

from __future__ import annotations

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.prototypes import fill, prototypes
from materialabs.discovery.task_keys import task_keys
from materialabs.levels import Level
from materialabs.oracles.relaxation import RelaxationSettings

LEVEL, SETTINGS = Level("emt", code="emt"), RelaxationSettings()


@pytest.fixture(scope="module")
def rutile() -> Crystals:
    return fill("Rutile", ["O", "Ti"])


def key(crystal: Crystals) -> str:
    return task_keys(crystal, LEVEL, SETTINGS)[0]


def test_turning_a_crystal_keeps_its_key(rutile: Crystals) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    assert key(rutile.replace(lattice=rutile.lattice @ turn)) == key(rutile)


def test_the_order_of_atoms_does_not_matter(rutile: Crystals) -> None:
    order = np.arange(len(rutile.frac))[::-1]
    other = rutile.replace(frac=rutile.frac[order], numbers=rutile.numbers[order])
    assert key(other.replace(site_columns=None)) == key(rutile)


def test_a_supercell_has_the_key_of_its_primitive_cell(rutile: Crystals) -> None:
    bare = rutile.replace(columns=None, site_columns=None)
    double = Crystals.from_ase(bare.to_ase()[0].repeat((2, 1, 1)))
    assert key(double) == key(rutile)


def test_noise_below_the_grid_does_not_matter(rutile: Crystals) -> None:
    assert key(rutile.replace(frac=rutile.frac + 1e-9)) == key(rutile)


def test_a_strain_of_a_thousandth_is_another_task(rutile: Crystals) -> None:
    assert key(rutile.replace(lattice=rutile.lattice * 1.001)) != key(rutile)


def test_level_and_settings_are_part_of_the_key(rutile: Crystals) -> None:
    assert task_keys(rutile, Level("PBE"), SETTINGS) != task_keys(rutile, LEVEL, SETTINGS)
    assert task_keys(rutile, LEVEL, RelaxationSettings(pressure=1.0)) != [key(rutile)]


def test_the_prototypes_all_have_different_keys() -> None:
    crystals = prototypes().select(largest=12).crystals
    bare = crystals.replace(columns=None)
    keys = task_keys(bare, LEVEL, SETTINGS)
    assert len(set(keys)) >= len(keys) - 2  # the library repeats a few types
