from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from dft_programs import PotentialEngine

from materialabs.crystals.batch import Crystals
from materialabs.oracles.dft_crystal import CrystalRelaxation, DftResult
from materialabs.oracles.dft_engine import Question, SinglePoint
from materialabs.oracles.dft_settings import DftSettings
from materialabs.oracles.dft_spin import nearest_distances, start_moments
from materialabs.oracles.relaxation import RelaxationSettings


def moments_of(atoms: Atoms) -> list[float] | None:
    found = start_moments(
        atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers.astype(np.uint8)
    )
    return None if found is None else found.tolist()


@pytest.mark.parametrize(
    ("atoms", "expected"),
    [
        (bulk("Fe"), [4.0]),
        (bulk("MgO", "rocksalt", a=4.25), None),
        (bulk("Si"), None),
        (bulk("Al"), [1.0]),
        (bulk("FeO", "rocksalt", a=4.3), [4.0, 0.0]),
        (Atoms("O2", [[0, 0, 0], [0, 0, 1.21]], cell=[9, 9, 9], pbc=True), [1.0, 1.0]),
        (Atoms("O2", [[0, 0, 0], [0, 0, 1.49]], cell=[9, 9, 9], pbc=True), None),
        (Atoms("KO2", [[3, 3, 3], [0, 0, 0], [0, 0, 1.3]], cell=[6, 6, 6], pbc=True), [0, 1, 1]),
    ],
)
def test_spin_is_used_where_there_are_unpaired_electrons(
    atoms: Atoms, expected: list[float] | None
) -> None:
    assert moments_of(atoms) == expected


def test_nearest_distances_are_those_of_ase() -> None:
    atoms = bulk("ZnO", "wurtzite", a=3.28, c=5.3)
    found = nearest_distances(atoms.cell.array, atoms.get_scaled_positions())
    distances = atoms.get_all_distances(mic=True)
    np.fill_diagonal(distances, np.inf)
    assert found == pytest.approx(distances.min(axis=1), abs=1e-6)


class MagneticEngine(PotentialEngine):
    """A potential on top of which moments live above a volume and lower the energy there."""

    onset = 11.5

    def moments(self, question: Question) -> object:
        volume = abs(np.linalg.det(question.lattice)) / len(question.numbers)
        alive = question.moments is not None and volume > self.onset
        return np.full(len(question.numbers), 2.0 if alive else 0.0)

    def single_point(self, question: Question) -> SinglePoint:
        point = super().single_point(question)
        if point.moments is not None and point.moments.any():
            object.__setattr__(point, "energy", point.energy - 0.05 * len(question.numbers))
        return point


def relaxed(engine: PotentialEngine, edge: float) -> DftResult:
    crystal = Crystals.from_ase(bulk("Ni", cubic=True, a=edge))
    return CrystalRelaxation(engine, crystal, DftSettings(), RelaxationSettings()).run()


def test_moments_that_vanish_are_dropped_and_that_is_said() -> None:
    result = relaxed(PotentialEngine(EMT()), 3.5)
    assert result.moments is None
    assert "without spin (+0.0 meV/atom)" in result.crystal.columns["notes"][0]


def test_moments_that_stay_are_kept_as_a_site_column() -> None:
    engine = MagneticEngine(EMT())
    engine.onset = 5.0
    result = relaxed(engine, 3.5)
    assert result.crystal.site_columns["magnetic_moment"].tolist() == [2.0] * 4
    assert result.crystal.columns["magnetization"].tolist() == [8.0]
    assert all(question.moments is not None for question in engine.questions)


def test_every_spin_polarised_result_says_that_antiferromagnetism_was_not_searched() -> None:
    for engine in (PotentialEngine(EMT()), MagneticEngine(EMT())):
        notes = relaxed(engine, 3.5).crystal.columns["notes"][0]
        assert "antiferromagnetism not searched" in notes


def test_moments_that_come_back_on_the_way_are_relaxed_again() -> None:
    engine = MagneticEngine(EMT())
    engine.onset = 10.5  # the start, at 9.8, is below; the minimum of nickel in EMT at 10.6 above
    result = relaxed(engine, 3.4)
    assert "moments came back" in result.crystal.columns["notes"][0]
    assert result.moments is not None
    assert result.moments.tolist() == [2.0] * 4
