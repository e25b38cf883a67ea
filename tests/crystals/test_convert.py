"""Round trips through pymatgen and ASE lose nothing that these can hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.build
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixCartesian, FixedLine
from hypothesis import assume, given
from hypothesis import strategies as st
from project_crystals import read_project_crystals
from pymatgen.core import DummySpecies, Lattice, Species, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from materialabs.crystals.batch import Crystals
from materialabs.crystals.convert import VACUUM, from_ase, from_pymatgen, to_ase, to_pymatgen
from materialabs.elements import SYMBOLS
from materialabs.errors import DisorderError, InputError

pytestmark = [
    pytest.mark.filterwarnings("ignore:No Pauling electronegativity:UserWarning"),
    pytest.mark.filterwarnings("ignore:Structure charge:UserWarning"),
]

CUBE = Lattice.cubic(4.0)
numbers = st.lists(st.integers(1, 94), min_size=1, max_size=5)
seeds = st.integers(0, 10_000)


def random_lattice(random: np.random.Generator) -> np.ndarray:
    return np.eye(3) * 4 + random.normal(0, 0.5, (3, 3))


@given(numbers, seeds, st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_structures_survive_a_round_trip(
    elements: list[int], seed: int, pbc: tuple[bool, bool, bool]
) -> None:
    random = np.random.default_rng(seed)
    structure = Structure(
        Lattice(random_lattice(random), pbc=pbc),
        [SYMBOLS[z] for z in elements],
        random.normal(size=(len(elements), 3)),
        site_properties={"magmom": random.normal(size=len(elements)).tolist()},
        charge=int(random.integers(-2, 3)),
        properties={"name": "x", "count": 3, "value": 1.5, "table": {"a": [1, 2]}},
    )
    (again,) = to_pymatgen(from_pymatgen(structure))
    assert again == structure
    assert again.lattice.pbc == pbc
    assert np.array_equal(again.frac_coords, structure.frac_coords)
    assert again.site_properties == structure.site_properties
    assert again.properties == structure.properties
    assert again.charge == structure.charge


@given(numbers, seeds)
def test_oxidation_states_survive_a_round_trip(elements: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    species = [Species(SYMBOLS[z], float(random.integers(-3, 5)) / 2) for z in elements]
    structure = Structure(CUBE, species, random.random((len(elements), 3)))
    (again,) = to_pymatgen(from_pymatgen(structure))
    assert again == structure


@given(st.lists(st.lists(st.integers(1, 94), min_size=1, max_size=3, unique=True), min_size=1,
                max_size=4), seeds)  # fmt: skip
def test_partial_occupancies_survive_a_round_trip(sites: list[list[int]], seed: int) -> None:
    random = np.random.default_rng(seed)
    species = [
        dict(zip((SYMBOLS[z] for z in site), random.uniform(0.05, 0.3, len(site)), strict=True))
        for site in sites
    ]
    structure = Structure(CUBE, species, random.random((len(sites), 3)))
    batch = from_pymatgen(structure)
    assert batch.disordered().all()
    assert to_pymatgen(batch) == [structure]


@given(numbers, seeds, st.lists(st.booleans(), min_size=3, max_size=3))
def test_atoms_survive_a_round_trip(elements: list[int], seed: int, pbc: list[bool]) -> None:
    random = np.random.default_rng(seed)
    atoms = Atoms(
        numbers=elements,
        positions=random.normal(0, 5, (len(elements), 3)),
        cell=random_lattice(random),
        pbc=pbc,
        tags=random.integers(0, 5, len(elements)),
        magmoms=random.normal(size=len(elements)),
        info={"name": "x", "count": 3, "value": 1.5},
    )
    (again,) = to_ase(from_ase(atoms))
    assert np.array_equal(again.numbers, atoms.numbers)
    assert np.array_equal(again.pbc, atoms.pbc)
    assert np.allclose(again.positions, atoms.positions, atol=1e-10)
    assert np.array_equal(again.cell.array, atoms.cell.array)
    assert np.array_equal(again.get_tags(), atoms.get_tags())
    assert np.array_equal(
        again.get_initial_magnetic_moments(), atoms.get_initial_magnetic_moments()
    )
    assert again.info == atoms.info


@given(numbers, seeds)
def test_pymatgen_and_ase_agree_with_their_own_adaptor(elements: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    structure = Structure(
        Lattice(random_lattice(random)),
        [SYMBOLS[z] for z in elements],
        random.random((len(elements), 3)),
    )
    assume(structure.volume > 1)
    theirs = AseAtomsAdaptor.get_atoms(structure)
    (ours,) = to_ase(from_pymatgen(structure))
    assert np.allclose(ours.positions, theirs.positions)
    assert np.array_equal(ours.numbers, theirs.numbers)


def test_several_objects_make_one_batch() -> None:
    structures = [Structure(CUBE, ["Na"], [[0, 0, 0]]), Structure(CUBE, ["K"], [[0, 0, 0]])]
    assert from_pymatgen(structures).formulas() == ["Na", "K"]
    atoms = [ase.build.bulk("Cu"), ase.build.bulk("Al")]
    assert from_ase(atoms).formulas() == ["Cu", "Al"]


def test_nothing_makes_an_empty_batch() -> None:
    assert len(from_pymatgen([])) == len(from_ase([])) == 0


def test_objects_without_atoms_are_kept() -> None:
    assert from_pymatgen(Structure(CUBE, [], [])).counts.tolist() == [0]
    assert from_ase(Atoms()).counts.tolist() == [0]


def test_what_one_structure_lacks_stays_missing() -> None:
    decorated = Structure(CUBE, ["Na"], [[0, 0, 0]], site_properties={"magmom": [1.0]},
                          labels=["Na1"], properties={"note": "x"})  # fmt: skip
    plain = Structure(CUBE, ["K"], [[0, 0, 0]])
    first, second = to_pymatgen(from_pymatgen([decorated, plain]))
    assert first.labels == ["Na1"]
    assert second.labels == ["K"]
    assert second.site_properties == {}
    assert second.properties == {}


def test_selective_dynamics_become_atoms_that_are_fixed() -> None:
    flags = [[True, True, True], [False, True, False]]
    structure = Structure(CUBE, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]],
                          site_properties={"selective_dynamics": flags})  # fmt: skip
    batch = from_pymatgen(structure)
    assert batch.site_columns["fixed"].tolist() == [[False] * 3, [True, False, True]]
    assert to_pymatgen(batch)[0].site_properties["selective_dynamics"] == flags


def test_the_spin_of_a_species_becomes_a_moment() -> None:
    structure = Structure(CUBE, [Species("Fe", 2, spin=4), Species("O", -2)],
                          [[0, 0, 0], [0.5, 0.5, 0.5]])  # fmt: skip
    moments = from_pymatgen(structure).site_columns["magnetic_moment"]
    assert moments == pytest.approx([4.0, np.nan], nan_ok=True)


def test_a_shared_site_has_the_mean_oxidation_state() -> None:
    structure = Structure(CUBE, [{"Fe2+": 0.5, "Fe3+": 0.5}], [[0, 0, 0]])
    assert from_pymatgen(structure).site_columns["oxidation_state"].tolist() == [2.5]


def test_a_dummy_species_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="is not an element"):
        from_pymatgen(Structure(CUBE, [DummySpecies("X")], [[0, 0, 0]]))


@pytest.mark.parametrize(
    ("convert", "sentence"),
    [(from_pymatgen, "pymatgen Structure is needed, not str"), (from_ase, "ASE Atoms are needed")],
)
def test_other_objects_are_refused(convert: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        convert(["NaCl"])


def test_a_molecule_gets_a_cell_that_leaves_it_alone() -> None:
    water = ase.build.molecule("H2O")
    batch = from_ase(water)
    assert not batch.pbc.any()
    assert batch.positions - batch.positions[0] == pytest.approx(
        water.positions - water.positions[0]
    )
    inside = batch.positions
    assert (inside >= VACUUM - 1e-9).all()
    assert (np.diagonal(batch.lattice[0]) - inside.max(axis=0) >= VACUUM - 1e-9).all()


def test_a_slab_keeps_its_periods_and_gets_a_third_vector() -> None:
    slab = ase.build.fcc111("Cu", (1, 1, 3))
    slab.pbc = [True, True, False]
    batch = from_ase(slab)
    assert batch.lattice[0, :2] == pytest.approx(slab.cell.array[:2])
    assert batch.lattice[0, 2, 2] > np.ptp(slab.positions[:, 2]) + VACUUM
    assert batch.positions == pytest.approx(slab.positions)


def test_a_cell_without_volume_is_refused() -> None:
    flat = Atoms("H", cell=[[1, 0, 0], [1, 0, 0], [0, 0, 1]], pbc=True)
    with pytest.raises(InputError, match="no volume"):
        from_ase(flat)


def test_what_a_calculator_found_comes_along() -> None:
    atoms = ase.build.bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=1)
    atoms.calc = EMT()
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    batch = from_ase(atoms)
    assert batch.columns["energy"] == pytest.approx([energy / 4])
    assert batch.site_columns["force"] == pytest.approx(forces)
    xx, yy, zz, yz, xz, xy = stress
    assert batch.columns["stress"][0] == pytest.approx(
        np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    )


def test_a_stress_given_as_a_matrix_is_kept() -> None:
    atoms = ase.build.bulk("Cu")
    tensor = np.diag([0.1, 0.2, 0.3])
    atoms.calc = SinglePointCalculator(atoms, stress=np.zeros(6))
    atoms.calc.results["stress"] = tensor
    assert from_ase(atoms).columns["stress"][0] == pytest.approx(tensor)


def test_fixed_atoms_survive_a_round_trip() -> None:
    atoms = ase.build.bulk("Cu", cubic=True)
    atoms.set_constraint([FixAtoms([0, 2]), FixCartesian(1, [True, False, False])])
    batch = from_ase(atoms)
    expected = np.array([[True] * 3, [True, False, False], [True] * 3, [False] * 3])
    assert np.array_equal(batch.site_columns["fixed"], expected)
    again = from_ase(to_ase(batch)[0])
    assert np.array_equal(again.site_columns["fixed"], expected)


def test_constraints_that_a_column_cannot_hold_are_passed_over() -> None:
    atoms = ase.build.bulk("Cu", cubic=True)
    atoms.set_constraint(FixedLine(0, [1, 1, 0]))
    assert "fixed" not in from_ase(atoms).site_columns


def test_a_column_called_fixed_that_holds_something_else_fixes_nothing() -> None:
    batch = from_ase(ase.build.bulk("Cu")).with_site_columns(fixed=["never"])
    assert to_ase(batch)[0].constraints == []


def test_a_missing_whole_number_is_not_written_as_zero() -> None:
    batch = from_ase(ase.build.bulk("Cu", cubic=True)).with_site_columns(n=[7, None, 3, None])
    assert to_ase(batch)[0].arrays["n"] == pytest.approx([7, np.nan, 3, np.nan], nan_ok=True)


def test_whole_numbers_that_are_all_there_stay_whole() -> None:
    batch = Crystals.concat(
        [from_ase(ase.build.bulk("Cu")).with_site_columns(n=[7]), from_ase(ase.build.bulk("Al"))]
    )
    first, second = to_ase(batch)
    assert first.arrays["n"].dtype.kind == "i"
    assert "n" not in second.arrays


def test_texts_of_atoms_survive() -> None:
    batch = from_ase(ase.build.bulk("Cu")).with_site_columns(label=["Cu1"])
    assert to_ase(batch)[0].arrays["label"].tolist() == ["Cu1"]


def test_ase_refuses_partly_occupied_sites() -> None:
    batch = from_pymatgen(Structure(CUBE, [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]]))
    with pytest.raises(DisorderError, match="Writing ASE atoms"):
        to_ase(batch)


@pytest.mark.full
def test_ten_thousand_crystals_survive_both_round_trips(data_folder: Path) -> None:
    crystals = read_project_crystals(data_folder, stop=20_000, step=2)
    for part in crystals.chunks(500):
        for again in (from_pymatgen(to_pymatgen(part)), from_ase(to_ase(part))):
            assert np.array_equal(again.numbers, part.numbers)
            assert np.allclose(again.lattice, part.lattice, atol=1e-12)
            assert np.allclose(again.frac, part.frac, atol=1e-9)
            assert again.ids() == part.ids()
