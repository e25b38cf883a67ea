"""The queue of relaxations that campaigns share: operational tables, made when first needed.

What stands here is work and not knowledge: verification does not look at it, and its results are
records like all others. The tables have a schema of their own, so that a store that never ran a
campaign does not have them.

A task is **open**, **leased** to a worker until a moment, **answered** (a worker that cannot sign
has left its result) or **done** (the result is a signed record; that changed in one transaction
with the record). Moments are milliseconds since 1970 by the database's clock, where it has one.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    and_,
    delete,
    func,
    insert,
    inspect,
    or_,
    select,
    text,
    update,
)

from materialabs.store.database import writing
from materialabs.store.rows import chunks
from materialabs.store.task_tables import (
    campaign_events,
    campaign_tasks,
    metadata,
    relaxation_states,
    tasks,
)

MILLISECONDS: Final = 1000

MOST_ATTEMPTS: Final = 30
"""Leases of one task that end without an answer before it is given up as failed."""


@dataclass(frozen=True)
class Task:
    """One relaxation to do.

    Parameters
    ----------
    key
        See :mod:`materialabs.discovery.task_keys`.
    crystal
        The start, as bytes.
    settings
        Relaxation settings in JSON.
    level
        Level of theory in canonical JSON.
    attempts
        Leases so far, this one included.
    """

    key: str
    crystal: bytes
    settings: str
    level: str
    attempts: int


@dataclass(frozen=True)
class Wanted:
    """A task that a campaign asks for.

    Parameters
    ----------
    key, crystal, settings, level
        As in :class:`Task`.
    role
        ``"element"``, ``"prototype"``, ``"candidate"`` or ``"known"``.
    document
        Lineage and prediction, for JSON.
    """

    key: str
    crystal: bytes
    settings: str
    level: str
    role: str
    document: Mapping[str, Any]


def make_tables(engine: Engine) -> None:
    """Make the tables of the queue where they are missing."""
    if not inspect(engine).has_table(campaign_events.name):
        with writing(engine) as connection:
            metadata.create_all(connection)


def have_tables(engine: Engine) -> bool:
    """Whether any campaign was ever started in this store."""
    return inspect(engine).has_table(campaign_events.name)


def now(connection: Connection) -> int:
    """Give the present moment by PostgreSQL's clock, or by this machine's for a file."""
    if connection.dialect.name == "postgresql":
        seconds = connection.execute(text("SELECT extract(epoch FROM clock_timestamp())"))
        return int(float(seconds.scalar_one()) * MILLISECONDS)
    return int(time.time() * MILLISECONDS)


# -- asking for work ------------------------------------------------------------------------------


def add(connection: Connection, campaign: str, number: int, wanted: Sequence[Wanted]) -> None:
    """Ask for tasks in a round of a campaign; those that are done already cost nothing."""
    known = _states(connection, [one.key for one in wanted])
    for position, one in enumerate(wanted):
        if one.key not in known:
            connection.execute(
                insert(tasks).values(
                    key=one.key, level=one.level, settings=one.settings, crystal=one.crystal,
                    state="open", owner="", lease_until=0, attempts=0,
                )
            )  # fmt: skip
        connection.execute(
            insert(campaign_tasks).values(
                campaign=campaign, task=one.key, round=number, position=position, role=one.role,
                reused=known.get(one.key) == "done", document=json.dumps(dict(one.document)),
            )
        )  # fmt: skip


def _states(connection: Connection, keys: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for chunk in chunks(sorted(set(keys))):
        rows = connection.execute(select(tasks.c.key, tasks.c.state).where(tasks.c.key.in_(chunk)))
        found.update({row.key: row.state for row in rows})
    return found


# -- doing it -------------------------------------------------------------------------------------


def lease(
    connection: Connection, campaign: str, owner: str, count: int, seconds: float
) -> list[Task]:
    """Take tasks of a campaign that nobody works on, for so long; the least tried first."""
    moment = now(connection)
    free = or_(
        tasks.c.state == "open", and_(tasks.c.state == "leased", tasks.c.lease_until < moment)
    )
    rows = connection.execute(
        select(tasks)
        .join(campaign_tasks, campaign_tasks.c.task == tasks.c.key)
        .where(campaign_tasks.c.campaign == campaign, free)
        .order_by(tasks.c.attempts, campaign_tasks.c.round, campaign_tasks.c.position)
        .limit(count)
    ).all()
    until = moment + int(seconds * MILLISECONDS)
    lost = Counter(row.owner for row in rows if row.state == "leased")
    for silent, held in lost.items():
        say(
            connection, campaign,
            f"The worker {silent} was not heard of past its lease; {held} of its tasks were given "
            "to others.",
        )  # fmt: skip
    for row in rows:
        connection.execute(
            update(tasks)
            .where(tasks.c.key == row.key)
            .values(state="leased", owner=owner, lease_until=until, attempts=row.attempts + 1)
        )
    return [
        Task(row.key, bytes(row.crystal), row.settings, row.level, row.attempts + 1) for row in rows
    ]


def renew(connection: Connection, owner: str, keys: Iterable[str], seconds: float) -> None:
    """Hold leases for longer; those that another has taken since stay the other's."""
    until = now(connection) + int(seconds * MILLISECONDS)
    for chunk in chunks(sorted(keys)):
        mine = and_(tasks.c.owner == owner, tasks.c.state == "leased")
        connection.execute(
            update(tasks).where(tasks.c.key.in_(chunk), mine).values(lease_until=until)
        )


def release(connection: Connection, owner: str) -> None:
    """Give back what was leased and not done; an orderly end does not count as an attempt."""
    connection.execute(
        update(tasks)
        .where(tasks.c.owner == owner, tasks.c.state == "leased")
        .values(state="open", owner="", lease_until=0, attempts=tasks.c.attempts - 1)
    )


def owners(connection: Connection, campaign: str) -> list[Row[Any]]:
    """Who holds leases of a campaign, how many, and until when at the latest."""
    return list(
        connection.execute(
            select(
                tasks.c.owner,
                func.count().label("held"),
                func.max(tasks.c.lease_until).label("until"),
            )
            .join(campaign_tasks, campaign_tasks.c.task == tasks.c.key)
            .where(campaign_tasks.c.campaign == campaign, tasks.c.state == "leased")
            .group_by(tasks.c.owner)
            .order_by(tasks.c.owner)
        )
    )


def free(connection: Connection, owner: str) -> int:
    """Open again what a worker held that is known to be gone; gives how many tasks."""
    done = connection.execute(
        update(tasks)
        .where(tasks.c.owner == owner, tasks.c.state == "leased")
        .values(state="open", owner="", lease_until=0)
    )
    return int(done.rowcount)


def answer(connection: Connection, key: str, result: Mapping[str, Any], relaxed: bytes) -> bool:
    """Leave a result for the campaign to sign; the first answer counts.

    Gives whether this was the first.
    """
    done = connection.execute(
        update(tasks)
        .where(tasks.c.key == key, tasks.c.state.in_(["open", "leased"]))
        .values(state="answered", result=json.dumps(dict(result)), relaxed=relaxed)
    )
    forget_state(connection, key)
    return int(done.rowcount) > 0


def finish(
    connection: Connection, key: str, result: Mapping[str, Any], relaxed: bytes, record: bytes
) -> None:
    """Mark a task as done in the transaction that stores its record."""
    connection.execute(
        update(tasks)
        .where(tasks.c.key == key)
        .values(
            state="done", result=json.dumps(dict(result)), relaxed=relaxed, record=record,
            lease_until=0,
        )
    )  # fmt: skip
    forget_state(connection, key)


# -- where relaxations stand ----------------------------------------------------------------------


def save_states(connection: Connection, states: Mapping[str, bytes]) -> None:
    """Keep where relaxations in flight stand."""
    for key, state in sorted(states.items()):
        forget_state(connection, key)
        connection.execute(insert(relaxation_states).values(task=key, state=state))


def read_states(connection: Connection, keys: Sequence[str]) -> dict[str, bytes]:
    """Where relaxations stood last, by task."""
    table = relaxation_states
    rows = connection.execute(select(table).where(table.c.task.in_(list(keys))))
    return {row.task: bytes(row.state) for row in rows}


def forget_state(connection: Connection, key: str) -> None:
    """A relaxation that is over stands nowhere."""
    connection.execute(delete(relaxation_states).where(relaxation_states.c.task == key))


# -- looking --------------------------------------------------------------------------------------


def of_campaign(
    connection: Connection, campaign: str, state: str = "", key: str = ""
) -> list[Row[Any]]:
    """A campaign's tasks with their results, by round and position.

    Parameters
    ----------
    connection, campaign
        Whose.
    state, key
        Only those in this state, or with this key.
    """
    chosen = [campaign_tasks.c.campaign == campaign]
    if state:
        chosen.append(tasks.c.state == state)
    if key:
        chosen.append(tasks.c.key == key)
    return list(
        connection.execute(
            select(
                tasks, campaign_tasks.c.round, campaign_tasks.c.position, campaign_tasks.c.role,
                campaign_tasks.c.reused, campaign_tasks.c.document,
            )
            .join(campaign_tasks, campaign_tasks.c.task == tasks.c.key)
            .where(*chosen)
            .order_by(campaign_tasks.c.round, campaign_tasks.c.position)
        )
    )  # fmt: skip


def unfinished(connection: Connection, campaign: str) -> int:
    """How many of a campaign's tasks are not done."""
    return int(
        connection.execute(
            select(func.count())
            .select_from(campaign_tasks)
            .join(tasks, campaign_tasks.c.task == tasks.c.key)
            .where(campaign_tasks.c.campaign == campaign, tasks.c.state != "done")
        ).scalar_one()
    )


def say(connection: Connection, campaign: str, sentence: str) -> None:
    """Write down what happened, for the report."""
    table = campaign_events
    last = connection.execute(
        select(func.max(table.c.number)).where(table.c.campaign == campaign)
    ).scalar_one()
    number = 0 if last is None else int(last) + 1
    values = {"campaign": campaign, "number": number, "sentence": sentence}
    connection.execute(insert(table).values(moment=now(connection), **values))


def said(connection: Connection, campaign: str) -> list[Row[Any]]:
    """What happened, in order."""
    table = campaign_events
    return list(
        connection.execute(
            select(table).where(table.c.campaign == campaign).order_by(table.c.number)
        )
    )
