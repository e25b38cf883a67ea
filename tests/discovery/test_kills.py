"""Campaigns that are killed, by signals that cannot be caught, at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.discovery import Campaign, archive
from materialabs.store import task_tables, tasks
from materialabs.store.database import reading, writing
from materialabs.store.store import Store
from materialabs.store.verify import verify
from tests.discovery.logged_emt import begun

ROOT = Path(__file__).parent.parent.parent
BUDGET = 16
LONGEST = 900.0
PAUSE = 0.02
MOST_STARTS = 80


class Lab:
    """A folder with a store, its keys and the log of calls outside the store."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.place, self.keys, self.log = folder / "lab.db", folder / "keys", folder / "calls.log"

    def start(self, *options: str, budget: str = str(BUDGET)) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "LOGGED_EMT": str(self.log), "LOGGED_EMT_PAUSE": str(PAUSE), "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        words = [str(self.place), str(self.keys), budget, *options]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.discovery.run_campaign", *words], cwd=ROOT,
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def finish(self, *options: str) -> None:
        with self.start(*options) as process:
            _, said = process.communicate(timeout=LONGEST)
        assert process.returncode == 0, said.decode()

    def done(self) -> set[str]:
        """Tasks that the store says are done."""
        if not self.place.exists():
            return set()
        with Store(self.place, keys=self.keys) as store:
            if not tasks.have_tables(store.engine):
                return set()
            with reading(store.engine) as connection:
                table = task_tables.tasks
                rows = connection.execute(table.select().where(table.c.state == "done"))
                return {row.key for row in rows}

    def campaign(self, store: Store) -> Campaign:
        (row,) = archive.listed(store)
        return Campaign(store, row)


def disturb(lab: Lab, kills: int, seed: int, *options: str) -> None:
    """Start and kill at random moments; no task that was done before begins again."""
    chance = random.Random(seed)
    done_kills = starts = 0
    while done_kills < kills and starts < MOST_STARTS:
        starts += 1
        before, calls = lab.done(), len(begun(lab.log))
        process = lab.start(*options)
        if chance.random() < 0.7:  # wait until it is at work
            while process.poll() is None and len(begun(lab.log)) == calls:
                time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.8))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            done_kills += 1
        process.communicate(timeout=LONGEST)
        again = before & set(begun(lab.log)[calls:])
        assert not again, f"{len(again)} finished tasks ran again"
        if process.returncode == 0:
            break
    calls, before = len(begun(lab.log)), lab.done()
    lab.finish(*options)
    assert not before & set(begun(lab.log)[calls:])


def keys_of(lab: Lab) -> list[str]:
    with Store(lab.place, keys=lab.keys) as store:
        campaign = lab.campaign(store)
        assert campaign.state == "finished"
        assert verify(store, keys=lab.keys, everything=True).good
        return sorted(one.key for one in campaign.findings.listed)


def check_deterministic(folder: Path, kills: int) -> None:
    calm, wild = Lab(folder / "calm"), Lab(folder / "wild")
    calm.finish("deterministic")
    disturb(wild, kills, 1, "deterministic")
    assert keys_of(wild) == keys_of(calm)


def check_free(folder: Path, kills: int, *options: str) -> None:
    """Without ``deterministic`` the stable set is the same by structure, energies to 1 meV/atom."""
    calm, wild = Lab(folder / "calm"), Lab(folder / "wild")
    calm.finish(*options)
    disturb(wild, kills, 2, *options)
    found = []
    for lab in (calm, wild):
        with Store(lab.place, keys=lab.keys) as store:
            campaign = lab.campaign(store)
            findings = campaign.findings
            energies = {one.key: value for one, value in
                        zip(findings.good, findings.values, strict=True)}  # fmt: skip
            found.append((findings.crystals(findings.stable),
                          [energies[one.key] for one in findings.stable]))  # fmt: skip
    same_stable_set(*found[0], *found[1])


def same_stable_set(
    one: Crystals, energies: list[float], other: Crystals, theirs: list[float]
) -> None:
    from materialabs.generation.matching import match

    assert one.reduced_formulas() == other.reduced_formulas()
    assert match(one.replace(columns=None), other.replace(columns=None)).same.all()
    assert np.abs(np.array(energies) - np.array(theirs)).max() < 1e-3


@pytest.mark.slow
def test_a_killed_campaign_ends_with_the_tasks_of_a_calm_one(tmp_path: Path) -> None:
    check_deterministic(tmp_path, 3)


@pytest.mark.full
def test_twenty_kills_change_no_task(tmp_path: Path) -> None:
    check_deterministic(tmp_path, 20)


@pytest.mark.full
def test_twenty_kills_change_no_stable_crystal(tmp_path: Path) -> None:
    check_free(tmp_path, 20)


@pytest.mark.slow
def test_kills_amid_thorough_relaxations_change_no_stable_crystal(tmp_path: Path) -> None:
    check_free(tmp_path, 5, "thorough")


@pytest.mark.full
def test_twenty_kills_amid_thorough_relaxations_change_no_stable_crystal(tmp_path: Path) -> None:
    check_free(tmp_path, 20, "thorough")


def check_workers(folder: Path, kills: int) -> None:
    """A campaign and two workers; the workers are killed again and again."""
    lab = Lab(folder)
    leader = lab.start(budget=str(BUDGET))
    chance = random.Random(3)
    helpers: list[subprocess.Popen[bytes]] = []
    killed = 0
    while leader.poll() is None:
        for one in [one for one in helpers if one.poll() is not None]:
            one.communicate()
            helpers.remove(one)
        while len(helpers) < 2 and lab.place.exists() and lab.done():
            helpers.append(lab.start("worker"))
        time.sleep(chance.uniform(0.2, 1.5))
        if helpers and killed < kills:
            helpers[0].kill()
            killed += 1
    leader.communicate(timeout=LONGEST)
    for one in helpers:
        one.kill()
        one.communicate()
    assert leader.returncode == 0
    with Store(lab.place, keys=lab.keys) as store:
        findings = lab.campaign(store).findings
        assert findings.calls == BUDGET
        assert verify(store, keys=lab.keys, everything=True).good


@pytest.mark.slow
def test_killed_workers_take_nothing_with_them(tmp_path: Path) -> None:
    check_workers(tmp_path, 2)


@pytest.mark.full
def test_twenty_killed_workers_take_nothing_with_them(tmp_path: Path) -> None:
    check_workers(tmp_path, 20)


@pytest.mark.slow
def test_a_worker_answers_and_the_campaign_signs(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    leader = lab.start()
    while leader.poll() is None and not lab.done():
        time.sleep(0.05)
    worker = lab.start("worker")
    leader.communicate(timeout=LONGEST)
    worker.terminate()
    worker.communicate()
    with Store(lab.place, keys=lab.keys) as store:
        findings = lab.campaign(store).findings
        assert all(one.record for one in findings.listed)
        counts = Counter(begun(lab.log))
        assert max(counts.values()) == 1


@pytest.mark.slow
def test_a_worker_that_hangs_past_its_lease_loses_its_tasks(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    leader = lab.start()
    while leader.poll() is None and not lab.done():
        time.sleep(0.05)
    leader.kill()
    leader.communicate()
    held = len(begun(lab.log))
    worker = lab.start("worker", "lease=3")
    while worker.poll() is None and len(begun(lab.log)) == held:
        time.sleep(0.01)
    worker.send_signal(signal.SIGSTOP)  # it lives, and does nothing more
    try:
        lab.finish()
    finally:
        worker.kill()
        worker.communicate()
    with Store(lab.place, keys=lab.keys) as store:
        campaign = lab.campaign(store)
        assert campaign.state == "finished"
        with reading(store.engine) as connection:
            said = " ".join(row.sentence for row in tasks.said(connection, campaign.id))
    assert "ended without a word" in said
    assert "past its lease" in said


def test_a_second_leader_is_refused_while_the_first_lives(finished: Campaign) -> None:
    from materialabs.discovery.liveness import process_name
    from materialabs.errors import ResourceError

    store, row = finished.store, finished.row
    with (
        archive.leading(store, row, process_name()),
        pytest.raises(ResourceError, match="materialabs worker"),
        archive.leading(store, row, "elsewhere:1:1"),
    ):
        pass


def test_a_dead_leader_is_replaced_at_once(finished: Campaign) -> None:
    import socket

    store, row = finished.store, finished.row
    with writing(store.engine) as connection:
        table = task_tables.campaigns
        dead = f"{socket.gethostname()}:999999999:1"
        values = {"leader": dead, "leader_until": tasks.now(connection) + 10**6}
        connection.execute(table.update().where(table.c.id == row.id).values(**values))
    with archive.leading(store, row, "another:1:1"):
        pass
    with reading(store.engine) as connection:
        assert any(dead in one.sentence for one in tasks.said(connection, row.id))
