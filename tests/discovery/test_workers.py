"""Workers relax and leave answers; the campaign signs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from materialabs.crystals.batch import Crystals
from materialabs.discovery import Constraints, discover, work
from materialabs.discovery.archive import listed
from materialabs.errors import InputError, NotFound
from materialabs.levels import Level
from materialabs.oracles.calculators import AseOracle
from materialabs.oracles.oracle import Evaluation
from materialabs.oracles.relaxation import RelaxationSettings
from materialabs.store import task_tables, tasks
from materialabs.store.database import reading
from materialabs.store.store import Store


class Interrupted(AseOracle):
    """Ctrl-C comes after some evaluations."""

    def __init__(self, after: int) -> None:
        super().__init__("emt")
        self.left = after

    def evaluate(self, crystals: Crystals) -> Evaluation:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().evaluate(crystals)


class Impatient(AseOracle):
    """Ctrl-C comes in the middle of the first long relaxation."""

    def __init__(self, longest: int) -> None:
        super().__init__("emt")
        self.longest, self.count, self.formula = longest, 0, ""

    def evaluate(self, crystals: Crystals) -> Evaluation:
        (formula,) = crystals.formulas()
        self.count = self.count + 1 if formula == self.formula else 1
        self.formula = formula
        if self.count > self.longest:
            raise KeyboardInterrupt
        return super().evaluate(crystals)


@pytest.fixture
def stopped(lab: Store) -> Store:
    """A store with a campaign that was stopped in its first round of candidates."""
    with pytest.raises(KeyboardInterrupt):
        discover("Cu-Au", 9, lab, oracle=Interrupted(20), model="campaign")
    return lab


def answered(store: Store, campaign: str) -> int:
    with reading(store.engine) as connection:
        return len(tasks.of_campaign(connection, campaign, "answered"))


def test_answers_of_a_worker_are_signed_when_the_campaign_goes_on(
    stopped: Store, emt: AseOracle
) -> None:
    entries = len(list(stopped.entries()))
    (row,) = listed(stopped)
    worked = work(stopped, row.id, oracle=emt, idle_seconds=1.0)
    assert worked.relaxations > 0
    assert answered(stopped, worked.campaign) == worked.relaxations
    assert len(list(stopped.entries())) == entries  # a worker signs nothing
    campaign = discover("Cu-Au", 9, stopped, oracle=emt, model="campaign")
    assert campaign.state == "finished"
    assert answered(stopped, campaign.id) == 0
    assert len(list(stopped.entries())) >= entries + worked.relaxations


def test_ctrl_c_stops_a_campaign_and_says_so(stopped: Store) -> None:
    (row,) = listed(stopped)
    assert row.state == "stopped"
    assert "by hand" in row.reason
    with reading(stopped.engine) as connection:
        held = tasks.owners(connection, row.id)
    assert held == []


def test_a_campaign_that_networks_judge_goes_on_to_the_tasks_of_a_calm_one(
    lab: Store, emt: AseOracle, tmp_path: Path
) -> None:
    """The network of candidates, stopped among the first of them."""
    limits = Constraints(max_atoms=4)
    asked = {"deterministic": True, "batch": 3, "constraints": limits}
    with Store(tmp_path / "calm.db", keys=tmp_path / "keys") as store:
        calm = [one.key for one in discover("Cu-Au", 9, store, oracle=emt, **asked).findings.listed]
    with pytest.raises(KeyboardInterrupt):
        discover("Cu-Au", 9, lab, oracle=Interrupted(22), **asked)
    assert 2 < len(done(lab)) < 9
    again = discover("Cu-Au", 9, lab, oracle=emt, **asked)
    assert again.row.request.model.startswith("candidates/")
    assert [one.key for one in again.findings.listed] == calm


def done(store: Store) -> list[str]:
    with reading(store.engine) as connection:
        table = task_tables.tasks
        return [
            row.key for row in connection.execute(table.select().where(table.c.state == "done"))
        ]


def test_a_worker_refuses_another_level(stopped: Store) -> None:
    with pytest.raises(InputError, match="stands at"):
        work(stopped, listed(stopped)[0].id, oracle=AseOracle("emt", level=Level("other")))


def test_a_worker_opens_no_program_because_a_store_says_so(stopped: Store) -> None:
    with pytest.raises(InputError, match="--oracle"):
        work(stopped, listed(stopped)[0].id)


def test_without_a_running_campaign_there_is_no_work(lab: Store, emt: AseOracle) -> None:
    with pytest.raises(NotFound, match="materialabs discover"):
        work(lab, oracle=emt)


def test_a_worker_without_an_id_joins_no_stopped_campaign(stopped: Store, emt: AseOracle) -> None:
    (row,) = listed(stopped)
    with pytest.raises(NotFound, match=f"running; {row.id} is stopped: go on with it"):
        work(stopped, oracle=emt)


class Looking(AseOracle):
    """Writes down in which state the campaigns of a store are while it is asked."""

    def __init__(self, store: Store) -> None:
        super().__init__("emt")
        self.store = store
        self.states: set[str] = set()

    def evaluate(self, crystals: Crystals) -> Evaluation:
        self.states |= {row.state for row in listed(self.store)}
        return super().evaluate(crystals)


def test_a_stopped_campaign_that_goes_on_runs_so_that_workers_find_it(stopped: Store) -> None:
    oracle = Looking(stopped)
    discover("Cu-Au", 9, stopped, oracle=oracle, model="campaign")
    assert oracle.states == {"running"}


def test_a_saved_state_is_continued(lab: Store, emt: AseOracle) -> None:
    """What was spent before the stop counts in what the end reports."""
    tight = RelaxationSettings(force_tolerance=1e-5, virial_tolerance=1e-5)
    with pytest.raises(KeyboardInterrupt):
        discover("Cu-Au", 9, lab, oracle=Impatient(8), model="campaign", settings=tight)
    with lab.engine.connect() as connection:
        saved = {row.task for row in connection.execute(task_tables.relaxation_states.select())}
    assert saved
    campaign = discover("Cu-Au", 9, lab, oracle=emt, model="campaign", settings=tight)
    done = {one.key: one.result["force_calls"] for one in campaign.findings.listed}
    assert all(done[key] >= 5 for key in saved)
    with lab.engine.connect() as connection:
        assert not connection.execute(task_tables.relaxation_states.select()).all()
