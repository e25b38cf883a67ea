from dataclasses import replace

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from hypothesis import given
from hypothesis import strategies as st
from small_crystals import copper, low_symmetry, rattled, rutile, slab, some

from materialabs.crystals.batch import Crystals
from materialabs.crystals.symmetry import operations, symmetry
from materialabs.errors import InputError, IntegrityError
from materialabs.oracles.broken_symmetry import displacement, symmetrised
from materialabs.oracles.calculators import AseOracle
from materialabs.oracles.chgnet import ChgnetOracle
from materialabs.oracles.coordinates import Coordinates
from materialabs.oracles.fire import Fire
from materialabs.oracles.model_hessian import model_hessian, strain_matrix, strain_vector
from materialabs.oracles.oracle import Evaluation
from materialabs.oracles.potential import Potential
from materialabs.oracles.quasi_newton import QuasiNewton, length
from materialabs.oracles.relaxation import (
    THOROUGH,
    Relaxation,
    RelaxationSettings,
    RelaxationState,
    relaxed_energies,
)
from materialabs.oracles.relaxation_bytes import relaxation_from_bytes, relaxation_to_bytes
from materialabs.oracles.relaxing import BatchLimits, pair_up, relax_stream
from materialabs.units import pressure_from_stress

TIGHT = RelaxationSettings(force_tolerance=1e-4, virial_tolerance=1e-4, max_steps=300)
EMT_ORACLE = AseOracle("emt")


class Changed(Potential):
    """EMT with something done to its answers."""

    def __init__(self, change, limits=None):
        self.inner, self.change, self.calls = AseOracle("emt"), change, 0
        self.limits = limits or BatchLimits()

    @property
    def level(self):
        return self.inner.level

    def evaluate(self, crystals):
        self.calls += 1
        return self.change(self, crystals, self.inner.evaluate(crystals))


def untouched(oracle, crystals, found):
    return found


# -- where relaxations end ---------------------------------------------------------------------


def test_copper_ends_where_ase_ends():
    atoms = rattled(copper()).to_ase()[0]
    atoms.calc = EMT()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-4, steps=500)
    ours = EMT_ORACLE.relax(rattled(copper()), TIGHT)[0]
    assert ours.status == "converged"
    assert ours.energy == pytest.approx(atoms.get_potential_energy() / 4, abs=1e-6)
    assert ours.crystal.volumes[0] == pytest.approx(atoms.get_volume(), rel=1e-4)


def test_a_relaxation_reports_the_numbers_of_its_crystal():
    ours = EMT_ORACLE.relax(rattled(copper()))[0]
    again = EMT_ORACLE.evaluate(ours.crystal)
    assert ours.energy == again.energies[0]
    np.testing.assert_array_equal(ours.forces, again.forces)
    assert np.linalg.norm(ours.forces, axis=1).max() < 0.05


def test_the_pressure_asked_for_is_reached():
    settings = RelaxationSettings(force_tolerance=1e-3, virial_tolerance=1e-3, pressure=20.0)
    ours = EMT_ORACLE.relax(copper(), settings)[0]
    assert pressure_from_stress(ours.stress) == pytest.approx(20.0, abs=0.05)


def test_a_fixed_cell_stays_and_its_atoms_move():
    start = rattled(copper())
    ours = EMT_ORACLE.relax(start, RelaxationSettings(cell="fixed"))[0]
    assert ours.status == "converged"
    np.testing.assert_array_equal(ours.crystal.lattice, start.lattice)
    assert not np.allclose(ours.crystal.frac, start.frac)


def test_fixed_atoms_stay_where_they_are():
    fixed = np.zeros((4, 3), dtype=bool)
    fixed[:2] = True
    start = rattled(copper(), 0.2).with_site_columns(fixed=fixed)
    ours = EMT_ORACLE.relax(start, RelaxationSettings(cell="fixed"))[0]
    assert ours.status == "converged"
    np.testing.assert_allclose(ours.crystal.frac[:2], start.frac[:2], atol=1e-12)


def test_a_slab_keeps_its_vacuum():
    start = slab()
    ours = AseOracle("emt").relax(start, RelaxationSettings(cell="fixed"))[0]
    assert ours.status == "converged"
    np.testing.assert_array_equal(ours.crystal.lattice[0], start.lattice[0])


def test_only_periodic_directions_strain():
    plane = Coordinates.of(slab(), RelaxationSettings()).plane
    np.testing.assert_allclose(plane, np.diag([1.0, 1.0, 0.0]), atol=1e-12)


def test_kept_symmetry_is_kept_to_the_end():
    oracle = ChgnetOracle(device="cpu")
    settings = RelaxationSettings(symmetry="kept", force_tolerance=0.01, virial_tolerance=0.01)
    ours = oracle.relax(rutile(0.04), settings)[0]
    assert ours.status == "converged"
    assert symmetry(ours.crystal, 1e-4).number[0] == 136


def body_centred(length=2.9):
    """Copper where it lies higher than in its own packing, and no force says so."""
    return Crystals.from_arrays([np.eye(3) * length], [[[0, 0, 0], [0.5, 0.5, 0.5]]], [[29, 29]])


def test_a_saddle_point_that_symmetry_makes_is_left_when_it_is_broken():
    kept = EMT_ORACLE.relax(body_centred(), TIGHT)[0]
    broken = EMT_ORACLE.relax(body_centred(), replace(TIGHT, symmetry="broken"))[0]
    packed = EMT_ORACLE.relax(copper(), TIGHT)[0]
    assert symmetry(kept.crystal, 1e-4).number[0] == 229
    assert kept.energy > packed.energy + 0.01
    assert broken.converged
    assert broken.energy == pytest.approx(packed.energy, abs=1e-5)


def test_symmetry_that_remains_is_exact_at_the_end():
    ours = EMT_ORACLE.relax(copper(), THOROUGH)[0]
    assert ours.converged
    assert ours.energy == pytest.approx(EMT_ORACLE.relax(copper(), TIGHT)[0].energy, abs=2e-4)
    assert symmetry(ours.crystal, 1e-6).number[0] == 225
    assert ours.energy == EMT_ORACLE.evaluate(ours.crystal).energies[0]


def test_symmetry_that_would_cost_energy_is_not_made():
    def dear(oracle, crystals, answers):  # whatever is exactly symmetric costs energy
        exact = [len(operations(one, 1e-6).rotations) > 4 for one in crystals]
        return replace(answers, energies=answers.energies + 0.01 * np.array(exact))

    ours = Changed(dear).relax(copper(), THOROUGH)[0]
    assert ours.converged
    assert len(operations(ours.crystal, 1e-6).rotations) <= 4
    assert len(operations(symmetrised(ours.crystal)[0], 1e-6).rotations) == 192


def test_broken_symmetry_is_broken_alike_every_time():
    one, other = (EMT_ORACLE.relax(body_centred(), THOROUGH)[0] for _ in range(2))
    assert relaxation_to_bytes(one) == relaxation_to_bytes(replace(other, seconds=one.seconds))


def test_the_last_bit_of_a_crystal_does_not_decide_how_it_is_displaced():
    start = body_centred()
    other = start.replace(lattice=start.lattice * (1 + 8e-16), frac=start.frac - 1e-15)
    np.testing.assert_array_equal(displacement(start), displacement(other))
    assert not np.array_equal(displacement(start), displacement(body_centred(3.0)))


def test_a_single_point_is_not_moved():
    near = rattled(EMT_ORACLE.relax(copper(), TIGHT)[0].crystal, 1e-4)
    for start in (body_centred(), near):
        ours = EMT_ORACLE.relax(start, replace(THOROUGH, max_steps=0))[0]
        assert ours.force_calls == 1
        assert ours.energy == EMT_ORACLE.evaluate(start).energies[0]


def test_atoms_that_are_fixed_stay_where_symmetry_is_broken():
    fixed = np.zeros((4, 3), dtype=bool)
    fixed[:2] = True
    start = rattled(copper(), 0.03).with_site_columns(fixed=fixed)
    ours = EMT_ORACLE.relax(start, replace(THOROUGH, force_tolerance=0.05))[0]
    assert ours.converged
    np.testing.assert_allclose(ours.crystal.frac[:2], start.frac[:2], atol=1e-12)


def test_a_fixed_cell_stays_where_symmetry_is_broken():
    start = copper()
    start = start.replace(lattice=start.lattice * np.array([1.01, 1.0, 1.0])[:, None])
    ours = EMT_ORACLE.relax(start, replace(THOROUGH, cell="fixed"))[0]
    assert ours.converged
    np.testing.assert_array_equal(ours.crystal.lattice, start.lattice)


def test_the_pressure_asked_for_is_reached_where_symmetry_is_broken():
    ours = EMT_ORACLE.relax(copper(), replace(THOROUGH, pressure=20.0))[0]
    assert pressure_from_stress(ours.stress) == pytest.approx(20.0, abs=0.3)
    assert symmetry(ours.crystal, 1e-6).number[0] == 225


def test_columns_stay_where_symmetry_is_made_exact():
    start = copper().with_columns(charge=["+1"]).with_site_columns(tag=np.arange(4))
    ours = EMT_ORACLE.relax(start, THOROUGH)[0].crystal
    assert ours.columns["charge"].tolist() == ["+1"]
    assert ours.site_columns["tag"].tolist() == [0, 1, 2, 3]
    assert symmetry(ours, 1e-6).number[0] == 225


def test_a_relaxation_whose_symmetry_is_broken_goes_on_where_it_was_saved():
    start, settings = body_centred(), replace(TIGHT, symmetry="broken")
    states = {}
    whole = dict(EMT_ORACLE.stream(start, settings, save=states.__setitem__))[0]
    oracle = Changed(untouched)
    again = dict(oracle.stream(start, settings, states=states))[0]
    assert 0 < oracle.calls < whole.force_calls - states[0].force_calls + 2
    assert again.energy == pytest.approx(whole.energy, abs=1e-6)
    assert symmetry(again.crystal, 1e-4).number[0] == symmetry(whole.crystal, 1e-4).number[0]


def test_campaigns_ask_potentials_for_more_than_programs_that_take_hours():
    assert EMT_ORACLE.campaign_settings == THOROUGH
    assert ChgnetOracle(device="cpu").campaign_settings == THOROUGH
    assert AseOracle("ase.calculators.emt:EMT").campaign_settings == RelaxationSettings()


def test_columns_and_order_of_atoms_stay():
    start = rattled(copper()).with_columns(id=["mine"])
    ours = EMT_ORACLE.relax(start)[0]
    assert ours.crystal.ids() == ["mine"]
    np.testing.assert_array_equal(ours.crystal.numbers, start.numbers)


def test_estimated_volumes_bring_a_stretched_cell_home():
    stretched = copper(5.2)
    ours = EMT_ORACLE.relax(stretched, RelaxationSettings(volume="estimated"))[0]
    assert ours.status == "converged"
    assert ours.crystal.lattice[0, 0, 0] == pytest.approx(3.59, abs=0.03)


def test_chgnet_ends_where_ase_ends_with_fewer_force_calls():
    """Both from the same displaced rutile; the energies may differ by the tolerance."""
    oracle = ChgnetOracle(device="cpu")
    calls, energy = by_ase(oracle, rattled(rutile(), 0.1, 1))
    ours = oracle.relax(
        rattled(rutile(), 0.1, 1), RelaxationSettings(force_tolerance=0.02, virial_tolerance=0.02)
    )[0]
    assert ours.status == "converged"
    assert ours.energy == pytest.approx(energy, abs=1e-3)
    assert ours.force_calls < calls


def by_ase(oracle, crystal):
    from ase.calculators.calculator import Calculator, all_changes

    class Wrapped(Calculator):
        implemented_properties = ("energy", "forces", "stress")
        calls = 0

        def calculate(self, atoms=None, properties=None, system_changes=all_changes):
            super().calculate(atoms, properties, system_changes)
            self.calls += 1
            found = oracle.evaluate(Crystals.from_ase(atoms))
            stress = found.stress[0]
            self.results = {
                "energy": found.energies[0] * len(atoms),
                "forces": found.forces,
                "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
            }

    atoms = crystal.to_ase()[0]
    atoms.calc = Wrapped()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.02, steps=300)
    return atoms.calc.calls, atoms.get_potential_energy() / len(atoms)


# -- how they go wrong ---------------------------------------------------------------------------


def test_steps_that_run_out_are_not_converged_and_usable():
    ours = EMT_ORACLE.relax(rattled(copper(), 0.3), RelaxationSettings(max_steps=1))[0]
    assert ours.status == "not_converged"
    assert ours.usable
    assert ours.force_calls == 2


def test_no_steps_are_a_single_point():
    ours = EMT_ORACLE.relax(rattled(copper()), RelaxationSettings(max_steps=0))[0]
    assert (ours.status, ours.force_calls) == ("not_converged", 1)


@pytest.mark.parametrize("away", [0.0, 0.01])
def test_overlapping_atoms_are_unphysical(away):
    crushed = Crystals.from_arrays([np.eye(3) * 4], [[[0, 0, 0], [0, 0, away]]], [[29, 29]])
    ours = EMT_ORACLE.relax(crushed)[0]
    assert (ours.status, ours.reason) == ("unphysical", "two atoms overlap")
    assert np.isnan(ours.energy)


def test_an_energy_that_is_no_number_fails():
    def change(oracle, crystals, found):
        return Evaluation(found.energies * np.nan, found.forces, found.stress)

    ours = Changed(change).relax(copper())[0]
    assert ours.status == "failed"
    assert "not a number" in ours.reason


def test_an_answer_that_turns_bad_ends_with_the_last_good_one():
    def change(oracle, crystals, found):
        return found if oracle.calls < 3 else Evaluation.failed(crystals, "the program stopped")

    ours = Changed(change).relax(rattled(copper(), 0.3))[0]
    assert (ours.status, ours.reason) == ("failed", "the program stopped")
    assert np.isfinite(ours.energy)
    assert ours.force_calls == 2 + 5


def test_one_bad_answer_is_stepped_around():
    def change(oracle, crystals, found):
        return Evaluation.failed(crystals, "once") if oracle.calls == 3 else found

    assert Changed(change).relax(rattled(copper(), 0.3))[0].status == "converged"


def test_a_crystal_that_is_blown_apart_has_exploded():
    def change(oracle, crystals, found):
        push = -np.eye(3)[None] * 2.0
        return Evaluation(found.energies - oracle.calls, found.forces * 0, np.tile(push, (1, 1, 1)))

    ours = Changed(change, BatchLimits(1)).relax(copper())[0]
    assert ours.status == "exploded"
    assert "volume" in ours.reason


def test_an_absurd_force_has_exploded():
    def change(oracle, crystals, found):
        return Evaluation(found.energies, found.forces + 1e4, found.stress)

    assert Changed(change).relax(copper())[0].status == "exploded"


def test_an_energy_without_a_floor_is_unphysical():
    def change(oracle, crystals, found):
        return Evaluation(found.energies - 30.0 * oracle.calls, found.forces, found.stress)

    ours = Changed(change, BatchLimits(1)).relax(rattled(copper()))[0]
    assert ours.status == "unphysical"


def test_a_missing_stress_asks_for_a_fixed_cell():
    def change(oracle, crystals, found):
        return Evaluation(found.energies, found.forces, found.stress * np.nan)

    assert "cell='fixed'" in Changed(change).relax(copper())[0].reason
    fixed = RelaxationSettings(cell="fixed")
    assert Changed(change).relax(rattled(copper()), fixed)[0].status == "converged"


def test_a_crystal_without_atoms_fails_and_the_others_go_on():
    empty = Crystals(np.eye(3)[None] * 3, np.zeros((0, 3)), np.zeros(0), np.array([0, 0]))
    found = EMT_ORACLE.relax(Crystals.concat([copper(), empty, copper()]))
    assert [one.status for one in found] == ["converged", "failed", "converged"]


def test_an_element_without_a_volume_fails_with_a_sentence():
    einsteinium = copper().replace(numbers=np.full(4, 99, dtype=np.uint8))
    ours = EMT_ORACLE.relax(einsteinium, RelaxationSettings(volume="estimated"))[0]
    assert ours.status == "failed"
    assert "Es" in ours.reason


# -- many at once --------------------------------------------------------------------------------


def test_places_that_become_free_are_taken_at_once():
    crystals = Crystals.concat([rattled(copper(), 0.1 + 0.03 * k, k) for k in range(6)])
    sizes = []

    def change(oracle, given, found):
        sizes.append(len(given))
        return found

    found = Changed(change, BatchLimits(2)).relax(crystals)
    assert all(one.converged for one in found)
    assert max(sizes) == 2
    assert sizes.count(1) < max(one.force_calls for one in found)


def test_a_batch_keeps_within_its_atoms():
    def change(oracle, given, found):
        assert len(given) == 1 or len(given.frac) <= 12
        return found

    crystals = Crystals.concat([rattled(copper(), 0.1, k) for k in range(5)])
    assert len(Changed(change, BatchLimits(16, 9)).relax(crystals)) == 5


def test_answers_do_not_depend_on_the_company():
    crystals = some()
    oracle = ChgnetOracle(device="cpu")
    settings = RelaxationSettings(max_steps=6)
    together = oracle.relax(crystals, settings)
    for row in (0, 2, 6):
        alone = oracle.relax(crystals[row], settings)[0]
        assert alone.energy == together[row].energy
        np.testing.assert_array_equal(alone.crystal.frac, together[row].crystal.frac)


def test_running_out_of_memory_halves_the_batch_and_loses_nothing():
    def change(oracle, crystals, found):
        if len(crystals) > 2:
            raise MemoryError
        return found

    crystals = Crystals.concat([rattled(copper(), 0.1, k) for k in range(7)])
    found = Changed(change, BatchLimits(7)).relax(crystals)
    plain = EMT_ORACLE.relax(crystals)
    assert [one.energy for one in found] == [one.energy for one in plain]


def test_one_crystal_that_is_too_large_for_the_memory_fails_alone():
    def change(oracle, crystals, found):
        if 79 in crystals.numbers:
            raise MemoryError
        return found

    gold = copper(4.1).replace(numbers=np.full(4, 79, dtype=np.uint8))
    found = Changed(change).relax(Crystals.concat([copper(), gold, copper()]))
    assert [one.status for one in found] == ["converged", "failed", "converged"]
    assert "memory" in found[1].reason


def test_other_errors_of_an_oracle_are_not_hidden():
    def change(oracle, crystals, found):
        raise RuntimeError("a mistake in the oracle")

    with pytest.raises(RuntimeError, match="a mistake"):
        Changed(change).relax(copper())


def test_disordered_crystals_are_refused_by_name():
    from pymatgen.core import Lattice, Structure

    mixed = Structure(Lattice.cubic(3.0), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with pytest.raises(InputError, match="Relaxation needs fully occupied"):
        EMT_ORACLE.relax(Crystals.from_pymatgen(mixed))


def test_batch_limits_are_positive():
    with pytest.raises(InputError, match="at least one"):
        BatchLimits(0)


# -- saved and continued -------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 4, 7])
def test_a_relaxation_that_was_cut_goes_on_as_if_it_had_not_been(after):
    start = rattled(copper(), 0.3)
    whole = EMT_ORACLE.relax(start, TIGHT)[0]
    saved = cut_after(start, after)
    state = RelaxationState.from_bytes(saved.to_bytes())
    ((_, rest),) = EMT_ORACLE.stream(start, TIGHT, states={0: state})
    assert rest.energy == whole.energy
    assert rest.force_calls == whole.force_calls
    np.testing.assert_array_equal(rest.crystal.frac, whole.crystal.frac)


def cut_after(start, steps):
    from materialabs.oracles.journey import Journey

    journey = Journey(start, TIGHT, EMT_ORACLE.level)
    while journey.steps < steps:
        crystal = journey.crystal()
        journey.spend(0.0)
        assert journey.learn(crystal, EMT_ORACLE.evaluate(crystal)) is None
    return journey.state()


def test_states_are_saved_every_few_steps():
    saved = []
    found = EMT_ORACLE.stream(
        rattled(copper(), 0.3), TIGHT, save=lambda index, state: saved.append((index, state.steps))
    )
    assert len(list(found)) == 1
    assert saved
    assert all(index == 0 and steps % 5 == 0 for index, steps in saved)


def test_a_damaged_state_is_refused():
    with pytest.raises(IntegrityError, match="no saved relaxation"):
        RelaxationState.from_bytes(b"PK not really")


def test_a_state_of_another_crystal_fails_with_a_sentence():
    state = cut_after(rattled(copper()), 1)
    ((_, found),) = EMT_ORACLE.stream(rutile(), states={0: state})
    assert found.status == "failed"
    assert "another crystal" in found.reason


def test_a_state_without_its_arrays_fails_with_a_sentence():
    state = cut_after(rattled(copper()), 1)
    del state.optimiser["trial"]
    ((_, found),) = EMT_ORACLE.stream(rattled(copper()), states={0: state})
    assert "no 'trial'" in found.reason


def test_large_crystals_go_by_fire_and_can_be_continued(monkeypatch):
    from materialabs.oracles import journey

    monkeypatch.setattr(journey, "LARGEST_DENSE", 2)
    start = rattled(copper(), 0.15)
    settings = RelaxationSettings(max_steps=200)
    states = []
    found = list(EMT_ORACLE.stream(start, settings, save=lambda _, state: states.append(state)))
    assert found[0][1].status == "converged"
    assert "velocity" in states[0].optimiser
    ((_, rest),) = EMT_ORACLE.stream(start, settings, states={0: states[0]})
    assert rest.energy == found[0][1].energy


def test_a_relaxation_survives_its_bytes():
    one = ChgnetOracle(device="cpu").relax(copper(), RelaxationSettings(max_steps=1))[0]
    again = relaxation_from_bytes(relaxation_to_bytes(one))
    assert (again.energy, again.status, again.level) == (one.energy, one.status, one.level)
    np.testing.assert_array_equal(again.moments, one.moments)
    np.testing.assert_array_equal(again.crystal.lattice, one.crystal.lattice)


def test_damaged_bytes_are_no_relaxation():
    with pytest.raises(IntegrityError):
        relaxation_from_bytes(b"nothing")


# -- parts ---------------------------------------------------------------------------------------


@given(st.integers(0, 10_000))
def test_slopes_are_those_of_the_energy(seed):
    source = np.random.default_rng(seed)
    crystal = rattled(copper(), 0.1, seed)
    coordinates = Coordinates.of(crystal, RelaxationSettings())
    point = coordinates.start() + source.normal(0, 0.02, 18)

    def energy(where):
        return float(EMT_ORACLE.evaluate(coordinates.crystal_at(where)).energies[0]) * 4

    found = EMT_ORACLE.evaluate(coordinates.crystal_at(point))
    virial = found.stress[0] * coordinates.crystal_at(point).volumes[0]
    slope = coordinates.slope(point, found.forces, virial)
    direction = coordinates.allowed(source.normal(size=18))
    measured = (energy(point + 1e-4 * direction) - energy(point - 1e-4 * direction)) / 2e-4
    assert slope @ direction == pytest.approx(measured, rel=1e-3, abs=1e-4)


def test_projecting_twice_on_a_symmetry_is_projecting_once():
    settings = RelaxationSettings(symmetry="kept")
    coordinates = Coordinates.of(rutile(), settings)
    vector = np.random.default_rng(0).normal(size=24)
    once = coordinates.allowed(vector)
    np.testing.assert_allclose(coordinates.allowed(once), once, atol=1e-12)
    assert np.linalg.matrix_rank(np.array([coordinates.allowed(row) for row in np.eye(24)])) == 3


def test_strains_keep_their_length_as_vectors():
    strain = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]])
    vector = strain_vector(strain)
    assert vector @ vector == pytest.approx((strain**2).sum())
    np.testing.assert_allclose(strain_matrix(vector), strain)


def test_the_model_is_stiff_everywhere_and_knows_that_moving_all_costs_nothing():
    hessian = model_hessian(low_symmetry())
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
    assert np.linalg.eigvalsh(hessian).min() > 0
    shift = np.concatenate([np.tile([1.0, 0.0, 0.0], 4), np.zeros(6)])
    np.testing.assert_allclose(hessian @ shift, 0.1 * shift, atol=1e-12)


@pytest.mark.parametrize("kind", ["quasi-newton", "fire"])
def test_a_bowl_is_walked_to_its_bottom(kind):
    source = np.random.default_rng(1)
    turn, _ = np.linalg.qr(source.normal(size=(12, 12)))
    bowl = turn @ np.diag(np.linspace(1, 20, 12)) @ turn.T
    bottom = source.normal(0, 0.3, 12)
    search = QuasiNewton(5.0 * np.eye(12)) if kind == "quasi-newton" else Fire(np.ones(12))
    point = np.zeros(12)
    for _ in range(60 if kind == "quasi-newton" else 1500):
        away = point - bottom
        point, _ = search.next_point(point, 0.5 * away @ bowl @ away, bowl @ away)
    np.testing.assert_allclose(point, bottom, atol=1e-4)


def test_a_step_uphill_is_taken_back_and_made_shorter():
    search = QuasiNewton(np.eye(9))
    start = np.zeros(9)
    slope = np.full(9, 0.3)
    trial, _ = search.next_point(start, 0.0, slope)
    again, accepted = search.next_point(trial, 5.0, slope)
    assert not accepted
    assert length(again - start) < 0.5 * length(trial - start)


def test_there_is_no_going_back_before_the_first_point():
    for search in (QuasiNewton(np.eye(9)), Fire(np.ones(9))):
        with pytest.raises(IntegrityError):
            search.shrink()


def test_an_indefinite_model_is_begun_anew():
    search = QuasiNewton(-np.eye(9))
    point, _ = search.next_point(np.zeros(9), 0.0, np.full(9, 0.1))
    assert (point < 0).all()


def test_settings_say_what_is_wrong_with_them():
    for wrong in (
        {"force_tolerance": 0.0}, {"virial_tolerance": np.nan}, {"pressure": np.inf},
        {"max_steps": 1.5}, {"max_steps": -1}, {"cell": "round"}, {"symmetry": "maybe"},
    ):  # fmt: skip
        with pytest.raises(InputError):
            RelaxationSettings(**wrong)


def test_settings_survive_their_document():
    settings = RelaxationSettings(pressure=3.0, symmetry="kept")
    assert RelaxationSettings.from_dict(settings.to_dict()) == settings
    with pytest.raises(InputError, match="colour"):
        RelaxationSettings.from_dict({"colour": 1})


def test_energies_of_relaxations_carry_their_level():
    found = EMT_ORACLE.relax(Crystals.concat([copper(), rattled(copper())]))
    energies = relaxed_energies(found)
    assert energies.level == EMT_ORACLE.level
    assert energies.kind == "total"
    other = ChgnetOracle(device="cpu").relax(copper(), RelaxationSettings(max_steps=0))
    with pytest.raises(InputError, match="2 levels"):
        relaxed_energies(found + other)
    with pytest.raises(InputError, match="No relaxations"):
        relaxed_energies([])


def test_a_relaxation_shows_what_it_is():
    one = EMT_ORACLE.relax(copper())[0]
    assert "converged" in repr(one)
    with pytest.raises(InputError):
        Relaxation.without_answer(copper(), one.level, "", status="great")


def test_crystals_enter_only_when_there_is_room():
    taken = []

    def incoming():
        for entry in pair_up(Crystals.concat([rattled(copper(), 0.1, k) for k in range(4)])):
            taken.append(entry[0])
            yield entry

    stream = relax_stream(
        EMT_ORACLE.evaluate, incoming(), RelaxationSettings(), EMT_ORACLE.level,
        limits=BatchLimits(1),
    )  # fmt: skip
    next(stream)
    assert taken == [0]
