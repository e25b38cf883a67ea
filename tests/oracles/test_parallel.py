import io
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from small_crystals import copper, rattled

from materialabs.crystals.batch import Crystals
from materialabs.errors import ExternalError, InputError
from materialabs.oracles.calculator_worker import read_message, write_message
from materialabs.oracles.calculators import AseOracle
from materialabs.oracles.parallel import ParallelOracle
from materialabs.oracles.relaxation import RelaxationSettings, RelaxationState
from materialabs.oracles.relaxation_bytes import relaxation_from_bytes
from materialabs.oracles.relaxation_worker import work

HERE = Path(__file__).parent
SETTINGS = RelaxationSettings(force_tolerance=1e-3, virial_tolerance=1e-3)


@pytest.fixture
def troubled(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.syspath_prepend(str(HERE))

    def make(name, **options):
        return ParallelOracle(f"troubled_calculators:{name}", **options)

    return make


def several(count=5):
    return Crystals.concat([rattled(copper(), 0.15, seed) for seed in range(count)])


def test_two_processes_give_what_one_gives():
    crystals = several()
    found = ParallelOracle("emt", processes=2).relax(crystals, SETTINGS)
    here = AseOracle("emt").relax(crystals, SETTINGS)
    assert [one.energy for one in found] == [one.energy for one in here]
    assert [one.force_calls for one in found] == [one.force_calls for one in here]


def test_single_points_are_those_of_the_oracle_itself():
    oracle = ParallelOracle("emt", processes=2)
    inner = AseOracle("emt")
    assert oracle.level == inner.level
    np.testing.assert_array_equal(oracle.energy(several()).values, inner.energy(several()).values)


def test_a_crystal_that_kills_its_process_fails_and_the_others_arrive(troubled):
    gold = copper(4.1).replace(numbers=np.full(4, 79, dtype=np.uint8))
    crystals = Crystals.concat([several(3), gold, several(2)])
    found = troubled("Dying", processes=2).relax(crystals, SETTINGS)
    assert [one.status for one in found] == ["converged"] * 3 + ["failed"] + ["converged"] * 2
    assert "processes died" in found[3].reason


def test_a_process_that_is_killed_loses_nothing(troubled):
    oracle, crystals, states = troubled("Slow", processes=2), several(4), []

    def kill_one():
        while not states:
            time.sleep(0.05)
        os.kill(children_of_this()[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    found = dict(oracle.stream(crystals, SETTINGS, save=lambda *news: states.append(news)))
    killer.join()
    here = AseOracle("emt").relax(crystals, SETTINGS)
    assert [found[row].energy for row in range(4)] == [one.energy for one in here]


def children_of_this():
    tasks = Path(f"/proc/{os.getpid()}/task")
    text = " ".join((task / "children").read_text() for task in tasks.iterdir())
    return [int(word) for word in text.split()]


def test_saved_states_are_continued():
    crystals, states = several(2), {}
    oracle = ParallelOracle("emt", processes=1)
    whole = dict(oracle.stream(crystals, SETTINGS, save=states.__setitem__))
    assert all(isinstance(state, RelaxationState) for state in states.values())
    rest = dict(oracle.stream(crystals, SETTINGS, states=states))
    assert [rest[row].energy for row in range(2)] == [whole[row].energy for row in range(2)]


def test_leaving_early_ends_the_processes(troubled):
    stream = troubled("Slow", processes=2).stream(several(6), SETTINGS)
    next(stream)
    stream.close()
    assert not children_of_this()


def test_processes_wait_for_the_next_relaxation_until_they_are_closed():
    with ParallelOracle("emt", processes=1) as oracle:
        oracle.relax(several(1), SETTINGS)
        first = children_of_this()
        oracle.relax(several(2), SETTINGS)
        assert len(first) == 1
        assert children_of_this() == first
    assert not children_of_this()


def test_a_waiting_process_that_was_killed_is_replaced():
    with ParallelOracle("emt", processes=1) as oracle:
        oracle.relax(several(1), SETTINGS)
        os.kill(children_of_this()[0], signal.SIGKILL)
        time.sleep(0.2)
        assert oracle.relax(several(1), SETTINGS)[0].status == "converged"


def test_an_oracle_that_cannot_be_made_is_said_once(monkeypatch):
    oracle = ParallelOracle("emt", processes=1)
    monkeypatch.setattr(oracle, "name", "quantum_magic")
    with pytest.raises(ExternalError, match="quantum_magic"):
        oracle.relax(several(1))


def messages(*given):
    stream = io.BytesIO()
    for head, arrays in given:
        write_message(stream, head, arrays)
    stream.seek(0)
    return stream


def all_messages(stream):
    stream.seek(0)
    return list(iter(lambda: read_message(stream), None))


def test_a_worker_asks_answers_and_ends():
    task = {"name": "emt", "options": {}, "settings": SETTINGS.to_dict(), "alone": False}
    crystal = {"crystal": np.frombuffer(several(1).to_bytes(), dtype=np.uint8)}
    answers = io.BytesIO()
    work(messages((task, {}), ({"index": 7}, crystal), ({"index": -1}, {})), answers)
    said = all_messages(answers)
    assert [head["say"] for head, _ in said if head["say"] != "state"] == [
        "want", "done", "want", "end",
    ]  # fmt: skip
    done = next(arrays for head, arrays in said if head["say"] == "done")
    relaxed = relaxation_from_bytes(done["relaxation"].tobytes())
    assert relaxed.energy == AseOracle("emt").relax(several(1), SETTINGS)[0].energy


def test_a_worker_says_what_it_cannot_do():
    task = {"name": "quantum_magic", "options": {}, "settings": SETTINGS.to_dict(), "alone": False}
    answers = io.BytesIO()
    work(messages((task, {})), answers)
    ((head, _),) = all_messages(answers)
    assert head["say"] == "error"
    assert "quantum_magic" in head["text"]


def test_no_crystals_need_no_processes():
    assert ParallelOracle("emt", processes=2).relax(Crystals.empty()) == []


def test_at_least_one_process_is_needed():
    with pytest.raises(InputError, match="At least one"):
        ParallelOracle("emt", processes=0)


@pytest.mark.skipif(sys.platform != "linux", reason="counts cores as Linux does")
def test_there_is_a_process_for_each_core_by_default():
    assert ParallelOracle("emt").processes == len(os.sched_getaffinity(0))
