from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from dft_programs import PotentialEngine

from materialabs.crystals.batch import Crystals
from materialabs.discovery import discover
from materialabs.discovery.two_levels import verify
from materialabs.errors import ExternalError, InputError
from materialabs.oracles.calculators import AseOracle
from materialabs.oracles.conformance import check_oracle
from materialabs.oracles.dft_engine import (
    PROGRAM_ENDED,
    DftTimeoutError,
    Question,
    SinglePoint,
)
from materialabs.oracles.dft_oracle import DftLimits, DftOracle
from materialabs.oracles.dft_settings import DftSettings
from materialabs.oracles.oracle import Oracle
from materialabs.oracles.relaxation import THOROUGH, RelaxationState
from materialabs.store.store import Store


def oracle(
    engine: type[PotentialEngine] = PotentialEngine,
    settings: DftSettings | None = None,
    **limits: int,
) -> DftOracle:
    return DftOracle(
        settings or DftSettings(),
        lambda _: engine(EMT()),
        ["Al", "Cu", "N", "O"],
        DftLimits(**limits),
    )


def metals() -> Crystals:
    return Crystals.from_ase([bulk("Al", a=4.0), bulk("Cu", a=3.6), bulk("Al", cubic=True)])


def test_a_dft_oracle_is_an_oracle() -> None:
    assert isinstance(oracle(), Oracle)


def test_results_come_in_the_order_given_whatever_the_number_of_processes() -> None:
    one = oracle().relax(metals())
    three = oracle(processes=3).relax(metals())
    assert [r.crystal.formulas()[0] for r in three] == ["Al", "Cu", "Al4"]
    assert [r.energy for r in one] == pytest.approx([r.energy for r in three], abs=1e-12)
    assert {r.level for r in one} == {oracle().level}


def test_broken_symmetry_is_refused() -> None:
    with pytest.raises(InputError, match="keep the symmetry"):
        oracle().relax(metals(), THOROUGH)


def test_the_best_of_a_potentials_campaign_are_verified(tmp_path: Path) -> None:
    with Store(tmp_path / "lab.db", keys=tmp_path / "keys") as store:
        potential = AseOracle("emt")
        campaign = discover("Cu-Al", 7, store, oracle=potential, model="campaign", batch=4)
        look = verify(campaign, oracle(), top=2)
        assert campaign.row.request.settings == THOROUGH
        assert look.second.row.request.settings == oracle().campaign_settings
        assert {one.result["status"] for one in look.second.findings.listed} == {"converged"}
        assert len(look.table()) == 2


def test_evaluation_is_that_of_the_program() -> None:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=1)
    found = oracle().evaluate(Crystals.from_ase(atoms))
    atoms.calc = EMT()
    assert found.energies[0] == pytest.approx(atoms.get_potential_energy() / 4)
    assert found.forces == pytest.approx(atoms.get_forces(), abs=1e-8)
    assert found.stress[0] == pytest.approx(atoms.get_stress(voigt=False), abs=1e-8)


def test_no_crystals_give_no_results() -> None:
    assert oracle().relax(Crystals.empty()) == []
    assert len(oracle().evaluate(Crystals.empty())) == 0


class BrokenEngine(PotentialEngine):
    error: Exception = ExternalError("GPAW ended unexpectedly.")

    def single_point(self, question: Question) -> SinglePoint:
        raise self.error


@pytest.mark.parametrize(
    "error", [ExternalError("GPAW ended unexpectedly."), DftTimeoutError("GPAW gave no answer.")]
)
def test_a_program_that_fails_is_a_failed_result_with_its_reason(error: Exception) -> None:
    kind = type("Broken", (BrokenEngine,), {"error": error})
    (done,) = oracle(kind).relax(metals()[:1])
    assert done.status == "failed"
    assert done.reason == str(error)
    assert np.isnan(done.energy)


class KilledEngine(PotentialEngine):
    """Its process is killed in the middle of some calculations, counted from one."""

    killed: tuple[int, ...] = (2,)

    def __init__(self, calculator: object) -> None:
        super().__init__(calculator)
        self.asked = 0

    def single_point(self, question: Question) -> SinglePoint:
        self.asked += 1
        if self.asked in self.killed:
            raise ExternalError("GPAW ended unexpectedly.", code=PROGRAM_ENDED)
        return super().single_point(question)


def test_a_program_that_was_killed_is_started_again_and_goes_on() -> None:
    (calm,) = oracle().relax(metals()[:1])
    (done,) = oracle(KilledEngine).relax(metals()[:1])
    assert done.status == "converged"
    assert done.energy == pytest.approx(calm.energy, abs=1e-12)
    assert done.force_calls == calm.force_calls + 1
    assert "started again" in done.crystal.columns["notes"][0]


def test_a_program_that_ends_twice_at_one_place_is_a_failed_result() -> None:
    kind = type("Killing", (KilledEngine,), {"killed": (2, 3)})
    (done,) = oracle(kind).relax(metals()[:1])
    assert done.status == "failed"
    assert "ended unexpectedly" in done.reason


class NanEngine(PotentialEngine):
    def single_point(self, question: Question) -> SinglePoint:
        point = super().single_point(question)
        object.__setattr__(point, "energy", float("nan"))
        return point


def test_an_energy_that_is_no_number_is_a_failed_result() -> None:
    (done,) = oracle(NanEngine).relax(metals()[:1])
    assert done.status == "failed"
    assert "no number" in done.reason
    assert oracle(NanEngine).evaluate(metals()[:1]).reasons[0]


def test_a_foreign_element_is_refused_without_a_question() -> None:
    (done,) = oracle().relax(Crystals.from_ase(bulk("Ni")))
    assert done.status == "failed"
    assert "holds Ni" in done.reason
    assert done.force_calls == 0


def test_a_disordered_crystal_is_refused_with_the_way_out() -> None:
    from pymatgen.core import Lattice, Structure

    mixed = Structure(Lattice.cubic(3.6), [{"Cu": 0.5, "Al": 0.5}], [[0, 0, 0]])
    (done,) = oracle().relax(Crystals.from_pymatgen(mixed))
    assert "ordered()" in done.reason


def test_states_are_saved_with_the_place_in_the_batch() -> None:
    seen: dict[int, RelaxationState] = {}
    crystals = metals()
    list(oracle().stream(crystals, save=seen.__setitem__))
    assert set(seen) == {0, 1, 2}
    assert seen[2].frac.shape == (4, 3)


class SlowEngine(PotentialEngine):
    """Waits until it is closed, as a process does that is killed."""

    def __init__(self, calculator: object) -> None:
        super().__init__(calculator)
        self.ended = threading.Event()

    def single_point(self, question: Question) -> SinglePoint:
        self.ended.wait(30)
        raise ExternalError("This engine was closed.")

    def close(self) -> None:
        self.ended.set()


def test_leaving_the_stream_early_stops_every_engine_and_the_oracle_can_be_used_again() -> None:
    made: list[PotentialEngine] = []

    def engine(_: int) -> PotentialEngine:
        made.append(SlowEngine(EMT()) if len(made) < 2 else PotentialEngine(EMT()))
        return made[-1]

    slow = DftOracle(DftSettings(), engine, ["Al", "Cu"], DftLimits(processes=2))
    stream = slow.stream(Crystals.concat([Crystals.from_ase(bulk("Ag")), metals()]))
    assert next(stream)[0] == 0  # refused at once
    stream.close()
    assert [isinstance(one, SlowEngine) and one.ended.is_set() for one in made] == [True] * 2
    assert np.isfinite(slow.energy(metals()[:1]).values[0])


def test_fitted_oxygen_raises_o2_alone_and_is_said() -> None:
    from ase import Atoms

    box = Atoms("O2", [[0, 0, 0], [0, 0, 1.2]], cell=[12, 12, 12], pbc=True)
    box.center()
    crystals = Crystals.from_ase([box, bulk("Al", a=4.0)])
    plain = oracle().energy(crystals)
    fitted = oracle(settings=DftSettings().with_fitted_oxygen())
    raised = fitted.energy(crystals)
    assert raised.values - plain.values == pytest.approx([0.68, 0.0])
    assert raised.level.correction == "O2 fitted"
    assert "O2 raised" in fitted.relax(crystals)[0].crystal.columns["notes"][0]


@pytest.mark.parametrize("wrong", [{"processes": 0}, {"crystal_seconds": 0}])
def test_no_processes_and_no_time_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="one process"):
        DftLimits(**wrong)


def test_it_keeps_the_promises_of_an_oracle() -> None:
    crystals = Crystals.from_ase([bulk("Cu", a=3.6), bulk("Al", a=4.0)])
    check_oracle(oracle(), crystals)
