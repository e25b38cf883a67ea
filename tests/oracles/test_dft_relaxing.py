from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.units import GPa
from dft_programs import PotentialEngine

from materialabs.crystals.batch import Crystals
from materialabs.oracles.dft_crystal import CrystalRelaxation, DftResult
from materialabs.oracles.dft_settings import DftSettings
from materialabs.oracles.relaxation import RelaxationSettings, RelaxationState

PBE = DftSettings(cutoff=400.0)


def relax(
    atoms: Atoms, engine: PotentialEngine | None = None, **settings: object
) -> tuple[DftResult, PotentialEngine]:
    engine = engine or PotentialEngine(EMT())
    asked = RelaxationSettings(**settings)  # type: ignore[arg-type]
    return CrystalRelaxation(engine, Crystals.from_ase(atoms), PBE, asked).run(), engine


def by_ase(atoms: Atoms, pressure: float = 0.0) -> Atoms:
    relaxed = atoms.copy()
    relaxed.calc = EMT()
    BFGS(FrechetCellFilter(relaxed, scalar_pressure=pressure * GPa), logfile=None).run(1e-4, 500)
    return relaxed


def cu3au(strain: float = 0.03) -> Atoms:
    """Tetragonal, with free shape; the copper atoms are shifted off their places."""
    atoms = bulk("Cu", cubic=True, a=3.75)
    atoms.symbols[0] = "Au"
    atoms.set_cell(atoms.cell.array @ np.diag([1 + strain, 1 + strain, 1 - strain]), True)
    return atoms


def rough() -> Atoms:
    atoms = cu3au()
    atoms.rattle(0.08, seed=3)
    return atoms


@pytest.mark.parametrize("start", [3.4, 3.6, 4.0])
def test_a_cubic_crystal_ends_at_the_lattice_constant_of_the_potential(start: float) -> None:
    result, _ = relax(bulk("Al", a=start + 0.4))
    expected = by_ase(bulk("Al", a=4.0))
    assert result.status == "converged"
    assert result.crystal.volumes[0] == pytest.approx(expected.get_volume(), rel=2e-3)
    assert result.energy == pytest.approx(expected.get_potential_energy(), abs=5e-4)


def test_a_cubic_crystal_near_its_minimum_takes_few_energies_and_none_twice() -> None:
    result, engine = relax(bulk("Ni", a=3.52))
    with_spin = [q for q in engine.questions if q.moments is not None]
    assert len(with_spin) == 2  # before, and at the end
    assert result.calls == len(engine.questions) <= 9
    assert len({question.key() for question in engine.questions}) == result.calls


@pytest.mark.parametrize("make", [cu3au, rough])
def test_shape_and_positions_end_where_ase_ends(make: object) -> None:
    atoms = make()  # type: ignore[operator]
    result, _ = relax(atoms, force_tolerance=0.01)
    expected = by_ase(atoms)
    assert result.status == "converged", result.reason
    assert result.energy == pytest.approx(expected.get_potential_energy() / 4, abs=1e-3)
    assert result.crystal.volumes[0] == pytest.approx(expected.get_volume(), rel=3e-3)
    assert np.abs(result.forces).max() < 0.01


def test_few_force_calls_are_spent_on_a_free_cell() -> None:
    result, _ = relax(cu3au())
    assert result.calls < 30


def test_the_pulay_stress_does_not_move_the_minimum() -> None:
    """A basis error of 1 eV/atom at 400 eV: the raw stress is wrong by several GPa."""
    poor = PotentialEngine(EMT(), depth=55.0, scale=100.0)
    result, engine = relax(cu3au(), poor)
    expected = by_ase(cu3au())
    raw = engine.questions[-1]
    point = poor.single_point(raw)
    assert abs(np.trace(point.stress) / 3 / GPa) > 5
    assert result.crystal.volumes[0] == pytest.approx(expected.get_volume(), rel=3e-3)
    assert abs(np.trace(result.stress) / 3 / GPa) < 0.1


def test_the_stress_of_a_single_point_is_corrected_for_the_basis() -> None:
    poor = PotentialEngine(EMT(), depth=55.0, scale=100.0)
    result, _ = relax(cu3au(), poor, max_steps=0)
    truth = cu3au()
    truth.calc = EMT()
    assert result.stress == pytest.approx(truth.get_stress(voigt=False), abs=0.05 * GPa)


def test_pressure_shrinks_a_crystal_as_ase_says() -> None:
    result, _ = relax(cu3au(), pressure=10.0)
    expected = by_ase(cu3au(), pressure=10.0)
    assert result.crystal.volumes[0] == pytest.approx(expected.get_volume(), rel=3e-3)


def test_the_bulk_modulus_comes_with_the_result() -> None:
    result, _ = relax(bulk("Al", a=4.0))
    assert result.crystal.columns["bulk_modulus"][0] == pytest.approx(39, abs=4)


def test_a_fixed_cell_stays() -> None:
    atoms = rough()
    result, _ = relax(atoms, cell="fixed")
    assert np.allclose(result.crystal.lattice[0], atoms.cell.array)
    assert result.status == "converged"


def test_a_molecule_keeps_its_box_and_is_asked_at_the_zone_centre() -> None:
    atoms = Atoms("N2", [[0, 0, 0], [0, 0, 1.3]], cell=[12, 12, 12], pbc=True)
    atoms.center()
    result, engine = relax(atoms)
    expected = Atoms("N2", [[0, 0, 0], [0, 0, 1.3]], calculator=EMT())
    BFGS(expected, logfile=None).run(1e-3)
    bond = np.linalg.norm(np.diff(result.crystal.positions, axis=0))
    assert bond == pytest.approx(expected.get_distance(0, 1), abs=5e-3)
    assert {question.mesh for question in engine.questions} == {(1, 1, 1)}
    assert np.allclose(result.crystal.lattice[0], np.eye(3) * 12)


def test_a_supercell_costs_what_its_primitive_cell_costs() -> None:
    result, engine = relax(bulk("Al", cubic=True, a=4.0) * (2, 1, 1))
    assert {len(question.numbers) for question in engine.questions} == {1}
    assert len(result.forces) == 8
    assert result.energy == pytest.approx(relax(bulk("Al", a=4.0))[0].energy, abs=1e-6)


def test_steps_that_run_out_are_said_and_the_energy_is_kept() -> None:
    result, _ = relax(rough(), max_steps=2)
    assert result.status == "not_converged"
    assert "after 2 steps" in result.reason
    assert np.isfinite(result.energy)


def test_overlapping_atoms_are_unphysical_and_cost_nothing() -> None:
    atoms = Atoms("Al2", [[0, 0, 0], [0.2, 0, 0]], cell=[4, 4, 4], pbc=True)
    result, engine = relax(atoms)
    assert result.status == "unphysical"
    assert "overlap" in result.reason
    assert not engine.questions


def test_a_density_that_does_not_settle_on_the_way_halves_the_step() -> None:
    engine = PotentialEngine(EMT())
    engine.refused = {8}
    result, _ = relax(rough(), engine)
    assert result.status == "converged"
    assert "a step was halved because the density did not settle" in str(
        result.crystal.columns["notes"][0]
    )


def test_a_density_that_never_settles_ends_with_a_reason() -> None:
    engine = PotentialEngine(EMT())
    engine.refused = set(range(1, 100))
    result, _ = relax(rough(), engine)
    assert result.status == "failed"
    assert "did not settle" in result.reason
    assert np.isnan(result.energy)


def test_a_deadline_ends_a_relaxation() -> None:
    crystal = Crystals.from_ase(rough())
    engine = PotentialEngine(EMT())
    late = CrystalRelaxation(engine, crystal, PBE, RelaxationSettings(), deadline=0.0).run()
    assert late.status == "failed"
    assert "time allowed" in late.reason


def test_a_relaxation_continues_from_its_saved_state() -> None:
    crystal, asked = Crystals.from_ase(rough()), RelaxationSettings(force_tolerance=0.01)
    states: list[bytes] = []
    whole = CrystalRelaxation(
        PotentialEngine(EMT()), crystal, PBE, asked, save=lambda s: states.append(s.to_bytes())
    ).run()
    middle = RelaxationState.from_bytes(states[len(states) // 2])
    engine = PotentialEngine(EMT())
    rest = CrystalRelaxation(engine, crystal, PBE, asked, state=middle).run()
    assert len(engine.questions) < whole.calls
    assert rest.energy == pytest.approx(whole.energy, abs=1e-3)
    assert rest.calls == pytest.approx(whole.calls, abs=12)


def test_the_volume_can_be_estimated_first() -> None:
    result, _ = relax(bulk("Al", a=6.0), volume="estimated")
    assert result.crystal.volumes[0] == pytest.approx(
        by_ase(bulk("Al", a=4.0)).get_volume(), rel=0.01
    )
