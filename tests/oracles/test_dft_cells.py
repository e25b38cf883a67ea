from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell, molecule
from hypothesis import given
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.crystals.references import reference_crystals
from materialabs.oracles.dft_cells import DftCell, is_molecule

SOLIDS = {
    "MgO": bulk("MgO", "rocksalt", a=4.25),
    "Mg": bulk("Mg", "hcp", a=3.19, c=5.17),
    "Si": bulk("Si", a=5.47),
    "ZnO": bulk("ZnO", "wurtzite", a=3.28, c=5.3),
}


def of(atoms: Atoms) -> tuple[Crystals, DftCell]:
    crystal = Crystals.from_ase(atoms)
    return crystal, DftCell.of(crystal)


def test_a_conventional_cell_becomes_primitive() -> None:
    _, cell = of(bulk("MgO", "rocksalt", a=4.25, cubic=True))
    assert len(cell.numbers) == 2
    assert abs(np.linalg.det(cell.lattice)) == pytest.approx(4.25**3 / 4)
    assert sorted(cell.numbers) == [8, 12]


@given(
    st.sampled_from(sorted(SOLIDS)),
    st.lists(st.integers(-1, 2), min_size=9, max_size=9),
    st.integers(0, 99),
)
def test_any_supercell_leads_to_the_primitive_cell_and_back(
    name: str, entries: list[int], seed: int
) -> None:
    matrix = np.array(entries).reshape(3, 3)
    if not 1 <= round(np.linalg.det(matrix)) <= 4:
        matrix = np.diag([1, 2, 1])
    atoms = make_supercell(SOLIDS[name], matrix)
    rng = np.random.default_rng(seed)
    atoms = atoms[rng.permutation(len(atoms))]
    atoms.positions += rng.normal(size=3)
    crystal, cell = of(atoms)
    assert len(cell.numbers) == len(SOLIDS[name])
    same = cell.given(crystal, cell.lattice, cell.frac)
    assert np.allclose(same.lattice, crystal.lattice, atol=1e-8)
    assert np.allclose(same.positions, crystal.positions, atol=1e-6)


def kpoints_left(cell: DftCell, mesh: int) -> int:
    """Distinct points of a mesh under the operations that keep the origin, by brute force."""
    steps = np.arange(mesh) / mesh
    points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    images = cell.frac @ cell.rotations.transpose(0, 2, 1)
    apart = images - cell.frac[cell.images]
    still = (np.abs(apart - np.rint(apart)) < 1e-3).all(axis=(1, 2))
    turned = [points @ np.linalg.inv(turn) for turn in cell.rotations[still]]
    stars = np.stack([*turned, *(-one for one in turned)], axis=1)
    codes = np.rint((stars - np.floor(stars + 1e-9)) * mesh).astype(int) % mesh
    return len(np.unique((codes @ [mesh * mesh, mesh, 1]).min(axis=1)))


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
@pytest.mark.parametrize(("symbol", "mesh"), [("Si", 7), ("Mg", 6), ("Al", 8), ("Cu", 5)])
def test_reference_structures_keep_the_kpoints_of_their_full_symmetry(
    symbol: str, mesh: int
) -> None:
    """Counts of spglib for the whole point group, wherever the source put its origin."""
    spglib = pytest.importorskip("spglib")
    cell = DftCell.of(reference_crystals([symbol]))
    given = (cell.lattice, cell.frac, cell.numbers)
    mapping, _ = spglib.get_ir_reciprocal_mesh([mesh] * 3, given, is_shift=[0, 0, 0])
    assert kpoints_left(cell, mesh) == len(np.unique(mapping))


def test_what_the_primitive_cell_becomes_is_carried_to_the_given_one() -> None:
    crystal, cell = of(bulk("MgO", "rocksalt", a=4.25, cubic=True))
    grown = cell.given(crystal, cell.lattice * 1.02, cell.frac)
    assert np.allclose(grown.lattice, crystal.lattice * 1.02)
    assert np.allclose(grown.positions, crystal.positions * 1.02)


def test_each_given_atom_is_a_copy_of_one_of_its_element() -> None:
    crystal, cell = of(bulk("MgO", "rocksalt", a=4.25, cubic=True))
    assert (cell.numbers[cell.members] == crystal.numbers).all()
    assert np.bincount(cell.members).tolist() == [4, 4]


@pytest.mark.parametrize(
    ("name", "positions", "shape"),
    [("MgO", False, False), ("Si", False, False), ("Mg", False, True), ("ZnO", True, True)],
)
def test_symmetry_says_what_is_free(name: str, positions: bool, shape: bool) -> None:
    _, cell = of(SOLIDS[name])
    assert cell.has_free_positions() == positions
    assert cell.has_free_shape() == shape


def test_forces_that_symmetry_forbids_are_averaged_away() -> None:
    _, cell = of(SOLIDS["ZnO"])
    noise = np.random.default_rng(1).normal(size=(4, 3))
    clean = cell.symmetric_vectors(noise, cell.lattice)
    assert np.allclose(clean[:, :2], 0, atol=1e-8)  # only the axis is free
    assert np.allclose(cell.symmetric_vectors(clean, cell.lattice), clean)


def test_stress_of_a_cubic_crystal_is_isotropic() -> None:
    _, cell = of(SOLIDS["MgO"])
    noise = np.random.default_rng(1).normal(size=(3, 3))
    clean = cell.symmetric_tensor(noise + noise.T, cell.lattice)
    assert np.allclose(clean, np.eye(3) * 2 * np.trace(noise) / 3)


def test_o2_in_a_box_is_a_molecule() -> None:
    atoms = molecule("O2", cell=[10, 10, 10], pbc=True)
    atoms.center()
    _, cell = of(atoms)
    assert cell.molecule
    assert cell.has_free_positions()


@pytest.mark.parametrize("name", sorted(SOLIDS))
def test_solids_are_no_molecules(name: str) -> None:
    assert not is_molecule(SOLIDS[name].cell.array, SOLIDS[name].get_scaled_positions())


def test_small_departures_from_symmetry_are_taken_away() -> None:
    atoms = bulk("MgO", "rocksalt", a=4.25, cubic=True)
    atoms.rattle(0.001, seed=0)
    crystal, cell = of(atoms)
    assert len(cell.numbers) == 2
    back = cell.given(crystal, cell.lattice, cell.frac)
    assert np.abs(back.positions - crystal.positions).max() < 0.02
