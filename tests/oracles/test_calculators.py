import io
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.emt import EMT
from small_crystals import copper, rattled

from materialabs.crystals.batch import Crystals
from materialabs.errors import InputError, NotFound
from materialabs.levels import Level
from materialabs.oracles import calculator_worker
from materialabs.oracles.calculators import (
    AseOracle,
    ExternalOracle,
    _arrays_of,
    calculator_level,
)
from materialabs.oracles.named import oracle_by_name

HERE = Path(__file__).parent
GOLD = copper(4.1).replace(numbers=np.full(4, 79, dtype=np.uint8))


@pytest.fixture
def troubled(monkeypatch):
    """Lets another interpreter import the calculators that misbehave."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))

    def make(name, **options):
        return ExternalOracle(sys.executable, f"troubled_calculators:{name}", **options)

    return make


def test_answers_are_those_of_ase():
    crystal = rattled(copper())
    atoms = crystal.to_ase()[0]
    atoms.calc = EMT()
    found = AseOracle("emt").evaluate(crystal)
    assert found.energies[0] * 4 == pytest.approx(atoms.get_potential_energy())
    np.testing.assert_allclose(found.forces, atoms.get_forces(), atol=1e-12)
    np.testing.assert_allclose(found.stress[0], atoms.get_stress(voigt=False), atol=1e-12)


def test_options_reach_the_calculator():
    wide = AseOracle("lj", sigma=2.3, epsilon=0.4, rc=9.0)
    narrow = AseOracle("lj", sigma=2.3, epsilon=0.4, rc=5.0)
    assert wide.evaluate(copper()).energies[0] < narrow.evaluate(copper()).energies[0]
    assert wide.level != narrow.level


def test_a_calculator_of_ones_own_is_named_by_where_it_is():
    own = AseOracle("ase.calculators.emt:EMT")
    assert own.evaluate(copper()).energies[0] == AseOracle("emt").evaluate(copper()).energies[0]


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="mace"):
        AseOracle("quantum_magic")


def test_what_is_not_installed_says_what_to_install():
    with pytest.raises(NotFound, match="pip install mattersim"):
        AseOracle("mattersim")
    with pytest.raises(NotFound, match="pip install orb-models"):
        AseOracle("orb")


def test_options_that_a_calculator_does_not_know_are_refused():
    with pytest.raises(InputError, match="refused its options"):
        AseOracle("ase.calculators.qmmm:SimpleQMMM", colour="red")


def test_an_exception_of_the_calculator_is_a_reason():
    found = AseOracle("emt").evaluate(copper().replace(numbers=np.full(4, 92, dtype=np.uint8)))
    assert "emt" in found.reasons[0]
    assert np.isnan(found.energies[0])


def test_a_file_among_the_options_is_part_of_the_level(tmp_path):
    model = tmp_path / "model.bin"
    model.write_bytes(b"one")
    before = calculator_level("mace", {"model": str(model)})
    model.write_bytes(b"two")
    assert calculator_level("mace", {"model": str(model)}) != before


def test_a_level_that_is_given_is_the_level():
    level = Level("PBE", code="mine")
    assert AseOracle("emt", level=level).level == level


def test_a_molecule_has_forces_but_no_stress():
    from ase.build import molecule

    found = AseOracle("emt").evaluate(Crystals.from_ase(molecule("H2O")))
    assert np.isfinite(found.forces).all()
    assert np.isnan(found.stress).all()


def test_another_interpreter_gives_the_same_answers():
    crystals = Crystals.concat([copper(), rattled(copper())])
    here = AseOracle("emt").evaluate(crystals)
    with ExternalOracle(sys.executable, "emt") as oracle:
        there = oracle.evaluate(crystals)
    np.testing.assert_array_equal(here.energies, there.energies)
    np.testing.assert_array_equal(here.forces, there.forces)
    np.testing.assert_array_equal(here.stress, there.stress)


def test_a_worker_answers_message_after_message():
    requests, answers = io.BytesIO(), io.BytesIO()
    question = _arrays_of(copper())
    calculator_worker.write_message(requests, {"ask": "build", "name": "emt", "options": {}}, {})
    calculator_worker.write_message(requests, {"ask": "evaluate"}, question)
    strange = {**question, "numbers": np.full(4, 92)}
    calculator_worker.write_message(requests, {"ask": "evaluate"}, strange)
    requests.seek(0)
    calculator_worker.serve(requests, answers)
    answers.seek(0)
    assert calculator_worker.read_message(answers) == ({"error": "", "bytes": 0}, {})
    _, found = calculator_worker.read_message(answers)
    assert found["energy"] / 4 == AseOracle("emt").evaluate(copper()).energies[0]
    head, _ = calculator_worker.read_message(answers)
    assert head["error"].startswith("NotImplementedError")
    assert calculator_worker.read_message(answers) is None


def test_a_message_that_was_cut_is_the_end():
    stream = io.BytesIO()
    calculator_worker.write_message(stream, {}, {"numbers": np.arange(10)})
    assert calculator_worker.read_message(io.BytesIO(stream.getvalue()[:-3])) is None


def test_moments_of_the_crystal_are_handed_over():
    crystal = copper().with_site_columns(magnetic_moment=np.array([1.0, np.nan, 2.0, 0.0]))
    np.testing.assert_array_equal(_arrays_of(crystal)["moments"], [1.0, 0.0, 2.0, 0.0])


def test_a_crystal_without_atoms_has_no_answer():
    empty = Crystals(np.eye(3)[None] * 3, np.zeros((0, 3)), np.zeros(0), np.array([0, 0]))
    assert "no atoms" in AseOracle("emt").evaluate(empty).reasons[0]


def test_another_interpreter_relaxes():
    crystal = rattled(copper())
    with oracle_by_name("emt", python=sys.executable) as oracle:
        there = oracle.relax(crystal)[0]
    here = AseOracle("emt").relax(crystal)[0]
    assert there.status == "converged"
    assert there.energy == here.energy


def test_prints_of_a_calculator_do_not_spoil_the_answers(troubled):
    with troubled("Printing") as oracle:
        assert oracle.evaluate(copper()).reasons == ("",)


def test_a_process_that_dies_is_a_reason_and_the_next_crystal_has_a_new_one(troubled):
    with troubled("Dying") as oracle:
        found = oracle.evaluate(Crystals.concat([copper(), GOLD, copper()]))
    assert "ended with code 3" in found.reasons[1]
    assert [bool(reason) for reason in found.reasons] == [False, True, False]
    assert found.energies[0] == found.energies[2]


def test_a_process_that_hangs_is_ended_in_time(troubled):
    with troubled("Hanging", timeout=4.0) as oracle:
        started = time.monotonic()
        found = oracle.evaluate(Crystals.concat([GOLD, copper()]))
        assert time.monotonic() - started < 60
    assert "no answer came within 4 seconds" in found.reasons[0]
    assert not found.reasons[1]


def test_a_missing_interpreter_is_named():
    with pytest.raises(NotFound, match="no Python at"):
        ExternalOracle("/nowhere/python", "emt")


def test_a_potential_that_the_other_interpreter_lacks_is_named():
    with (
        ExternalOracle(sys.executable, "mattersim") as oracle,
        pytest.raises(NotFound, match="pip install mattersim"),
    ):
        oracle.evaluate(copper())


def test_options_for_another_interpreter_are_plain_values():
    with pytest.raises(InputError, match="texts, numbers"):
        ExternalOracle(sys.executable, "emt", function=print)


def test_a_time_for_answers_is_positive():
    with pytest.raises(InputError, match="above zero"):
        ExternalOracle(sys.executable, "emt", timeout=0.0)


def test_names_of_dft_programs_ask_for_a_system():
    with pytest.raises(InputError, match="Mg-Si"):
        oracle_by_name("gpaw")


def test_both_weights_of_chgnet_have_names():
    assert oracle_by_name("chgnet").level.functional == "PBE"
    assert oracle_by_name("chgnet-r2scan").level.functional == "r2SCAN"
