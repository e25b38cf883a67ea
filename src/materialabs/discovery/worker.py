"""Join a running campaign from another process or node: relax its tasks, sign nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass

from materialabs.discovery import archive
from materialabs.discovery.archive import CampaignRow
from materialabs.discovery.bench import Bench, Leasing
from materialabs.discovery.campaign import leasing_for
from materialabs.discovery.liveness import process_name
from materialabs.discovery.oracle_choice import TRUSTED, open_oracle, require_level
from materialabs.discovery.results import relaxed_bytes, result_document
from materialabs.errors import InputError, NotFound
from materialabs.oracles.oracle import Oracle
from materialabs.oracles.relaxation import Relaxation
from materialabs.store import tasks
from materialabs.store.database import writing
from materialabs.store.store import Store
from materialabs.store.tasks import Task

WAIT_SECONDS = 0.5
"""Between two looks for work."""


@dataclass(frozen=True)
class Worked:
    """What a worker did.

    Parameters
    ----------
    name
        Of the worker, as results bear it.
    campaign
        Which it helped.
    relaxations
        How many it answered.
    """

    name: str
    campaign: str
    relaxations: int


def work(
    store: Store,
    campaign: str = "",
    *,
    oracle: str | Oracle = "",
    idle_seconds: float = 60.0,
    leasing: Leasing | None = None,
) -> Worked:
    """Relax tasks of a running campaign until it ends or has had none to give for a while.

    Parameters
    ----------
    store
        Where the campaign stands; other nodes reach it by its ``postgresql://`` URL.
    campaign
        Its id; by default the newest that runs.
    oracle
        By name, or an oracle; by default the campaign's, where that is one that ships.
    idle_seconds
        How long to wait for work.
    leasing
        How tasks are held.
    """
    row = _chosen(store, campaign)
    name = oracle if isinstance(oracle, str) and oracle else row.oracle
    opened = _opened(row, oracle)
    require_level(opened, row.request.level, f"The campaign {row.id}")
    owner = process_name()
    answered = 0

    def deliver(task: Task, relaxation: Relaxation) -> None:
        nonlocal answered
        document = result_document(relaxation, owner)
        with writing(store.engine) as connection:
            answered += tasks.answer(connection, task.key, document, relaxed_bytes(relaxation))

    bench = Bench(store, row.id, opened, owner, deliver, leasing or leasing_for(row, name, 1))
    last = time.monotonic()
    while time.monotonic() - last < idle_seconds:
        if bench.work_once():
            last = time.monotonic()
        elif archive.refreshed(store, row).state == archive.FINISHED:
            break
        else:
            with writing(store.engine) as connection:
                archive.free_lost(connection, row.id, owner)
            time.sleep(WAIT_SECONDS)
    return Worked(owner, row.id, answered)


def _chosen(store: Store, campaign: str) -> CampaignRow:
    if campaign:
        return archive.find(store, campaign)
    rows = archive.listed(store)
    running = [row for row in rows if row.state == archive.RUNNING]
    if running:
        return running[-1]
    stopped = [row for row in rows if row.state == archive.STOPPED]
    if stopped:
        name = stopped[-1].id
        raise NotFound(
            f"No campaign of this store is running; {name} is stopped: go on with it by "
            f"`materialabs campaign resume {name}`, or give its id to work for it as it stands."
        )
    raise NotFound("No campaign of this store is running: begin one with `materialabs discover`.")


def _opened(row: CampaignRow, oracle: str | Oracle) -> Oracle:
    if not isinstance(oracle, str):
        return oracle
    if oracle:
        return open_oracle(oracle, row.request.system)
    if row.oracle not in TRUSTED:
        raise InputError(
            f"The campaign {row.id} uses the oracle {row.oracle or 'of a program'!r}, which a "
            "worker opens only when told so: add --oracle."
        )
    return open_oracle(row.oracle, row.request.system)
