"""Workers as programs of their own on both databases, one of them killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from materialabs.discovery import Campaign, archive
from materialabs.store import tasks
from materialabs.store.database import reading
from materialabs.store.store import Store
from materialabs.store.verify import verify
from tests.discovery.logged_emt import begun

ROOT = Path(__file__).parent.parent.parent
BUDGET, BATCH, WORKERS = 50, 24, 3
"""A lease is of four tasks: a round holds more leases than there are processes."""

PAUSE = 0.3
"""Seconds that each evaluation waits: longer together than workers take to start."""

LONGEST = 900.0
ORACLE = "python:tests.discovery.logged_emt:logged_emt"
COMMAND = "from materialabs.cli import main; main()"


class Team:
    """A leader and workers on one store; the workers have a folder of keys of their own."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.log = store, folder / "calls.log"
        self.workers_keys = folder / "workers"

    def leader(self) -> subprocess.Popen[bytes]:
        words = [self.store.place, str(self.store.keys), str(BUDGET), "together=1",
                 f"batch={BATCH}"]  # fmt: skip
        return self._start([sys.executable, "-m", "tests.discovery.run_campaign", *words])

    def worker(self, campaign: str) -> subprocess.Popen[bytes]:
        """The verb, as users type it."""
        words = [
            "worker",
            campaign,
            "--store",
            self.store.place,
            "--oracle",
            ORACLE,
            "--wait",
            "120",
        ]
        return self._start([sys.executable, "-c", COMMAND, *words])

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        environment = os.environ | {
            "LOGGED_EMT": str(self.log), "LOGGED_EMT_PAUSE": str(PAUSE), "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT), "MATERIALABS_KEYS": str(self.workers_keys),
        }  # fmt: skip
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )

    def holders(self, campaign: str) -> dict[int, str]:
        """Process numbers of those who hold tasks, with their names."""
        with reading(self.store.engine) as connection:
            owners = [row.owner for row in tasks.owners(connection, campaign)]
        return {int(name.split(":")[-2]): name for name in owners}

    def held(self, campaign: str, owner: str) -> set[str]:
        with reading(self.store.engine) as connection:
            rows = tasks.of_campaign(connection, campaign, "leased")
            return {row.key for row in rows if row.owner == owner}

    def done(self, campaign: str) -> set[str]:
        with reading(self.store.engine) as connection:
            return {row.key for row in tasks.of_campaign(connection, campaign, "done")}


def wait_for(what: Any, *alive: subprocess.Popen[bytes]) -> Any:
    """Look again and again until there is something, as long as the programs live."""
    end = time.monotonic() + LONGEST
    while not (found := what()):
        for one in alive:
            assert one.poll() is None, (one.stderr.read() if one.stderr else b"").decode()
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


@pytest.mark.slow
def test_three_workers_share_a_campaign_and_one_that_is_killed_loses_nothing(
    store: Store, tmp_path: Path
) -> None:
    team = Team(store, tmp_path)
    leader = team.leader()
    helpers: list[subprocess.Popen[bytes]] = []
    try:
        (row,) = wait_for(lambda: archive.listed(store), leader)
        wait_for(lambda: team.done(row.id), leader)
        helpers = [team.worker(row.id) for _ in range(WORKERS)]
        numbers = {one.pid for one in helpers}
        # All three are at work, so that the kill hits one among others.
        wait_for(lambda: numbers <= set(team.holders(row.id)), leader, *helpers)
        victim = helpers[0]
        name = team.holders(row.id)[victim.pid]
        victim.send_signal(signal.SIGSTOP)
        held, done = team.held(row.id, name), team.done(row.id)
        calls = len(begun(team.log))
        victim.kill()
        _, said = leader.communicate(timeout=LONGEST)
        assert leader.returncode == 0, said.decode()
        for one in helpers:
            one.communicate(timeout=LONGEST)
    finally:
        for one in (leader, *helpers):
            if one.poll() is None:
                one.kill()
                one.communicate()
    findings = Campaign(store, archive.find(store, row.id)).findings
    workers = Counter(one.result["worker"] for one in findings.listed)
    assert findings.calls == BUDGET
    assert verify(store, keys=store.keys, everything=True).good
    assert not done & set(begun(team.log)[calls:])  # nothing that was done ran again
    twice = {key for key, count in Counter(begun(team.log)).items() if count > 1}
    assert twice <= held  # nor anything but what the killed one had in hand
    assert {one.result["worker"] for one in findings.listed if one.key in held} != {name}
    assert len(set(workers) - {name}) == WORKERS  # the leader and the two that lived
    assert all(one.record for one in findings.listed)  # the campaign signed what workers left
    assert not list(team.workers_keys.glob("*"))  # workers hold no key
    with reading(store.engine) as connection:
        sentences = " ".join(one.sentence for one in tasks.said(connection, row.id))
    assert f"The process {name} died" in sentences or not held
