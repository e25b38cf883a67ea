"""Campaigns in a store: begin, find, extend, lead, and write down what happened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from materialabs.discovery.budgets import Budget
from materialabs.discovery.liveness import gone
from materialabs.discovery.parents import last_record
from materialabs.discovery.request import CampaignRequest
from materialabs.errors import InputError, NotFound, ResourceError
from materialabs.store import task_tables, tasks
from materialabs.store.database import reading, writing
from materialabs.store.store import Store

ID_DIGITS: Final = 10
"""Of a campaign's identity, that people type."""

RUNNING, FINISHED, STOPPED = "running", "finished", "stopped"
"""States of a campaign; a stopped one goes on when the same line is run again."""

LEAD_SECONDS: Final = 120.0
"""A leader that was not heard of for so long is replaced."""


@dataclass(frozen=True)
class CampaignRow:
    """A campaign as it stands in the store.

    Parameters
    ----------
    id
        What people type.
    request
        What was asked for.
    state, reason
        One of :data:`RUNNING`, :data:`FINISHED`, :data:`STOPPED`, and why.
    budget
        In all, extensions included.
    spent_seconds
        Time that it ran.
    known_until
        Number of the last record that was there when it began.
    created
        Milliseconds since 1970.
    oracle
        Name of the oracle, for workers.
    known
        Lists that compounds are compared with.
    verifies
        For a verification at another level: the campaign whose best it computes again.
    """

    id: str
    request: CampaignRequest
    state: str
    reason: str
    budget: Budget
    spent_seconds: float
    known_until: int
    created: int
    oracle: str
    known: tuple[str, ...]
    verifies: str = ""


def begin(
    store: Store,
    request: CampaignRequest,
    budget: Budget,
    *,
    oracle: str,
    known: tuple[str, ...] = (),
    new: bool = False,
    verifies: str = "",
    identity: str = "",
) -> CampaignRow:
    """The campaign of a request: the one that is there, or a new one.

    Known lists are no part of the request: those that are given take the place of those it had.
    """
    tasks.make_tables(store.engine)
    newest = last_record(store)
    table = task_tables.campaigns
    identity = identity or request.identity
    with writing(store.engine) as connection:
        rows = connection.execute(
            select(table.c.id, table.c.number).where(table.c.identity == identity)
            .order_by(table.c.number)
        ).all()  # fmt: skip
        if rows and not new:
            _relist(connection, rows[-1].id, known)
            return _read(connection, rows[-1].id)
        number = rows[-1].number + 1 if rows else 1
        name = identity[:ID_DIGITS] + ("" if number == 1 else f"-{number}")
        document = {
            "request": request.to_dict(),
            "oracle": oracle,
            "known": list(known),
            "verifies": verifies,
        }
        connection.execute(
            insert(table).values(
                id=name, identity=identity, number=number, request=json.dumps(document),
                state=RUNNING, reason="", calls=budget.calls, seconds=budget.seconds,
                spent_seconds=0.0, known_until=newest, leader="", leader_until=0,
                created=tasks.now(connection),
            )
        )  # fmt: skip
        return _read(connection, name)


def _relist(connection: Connection, name: str, known: tuple[str, ...]) -> None:
    """Compare a campaign's compounds with other lists than before, where some are given."""
    table = task_tables.campaigns
    text = connection.execute(select(table.c.request).where(table.c.id == name)).scalar_one()
    document = json.loads(text)
    if known and list(known) != document["known"]:
        _set(connection, name, request=json.dumps(document | {"known": list(known)}))
        tasks.say(connection, name, f"Known crystals are from now on those of {', '.join(known)}.")


def find(store: Store, name: str) -> CampaignRow:
    """A campaign by its id or the beginning of it."""
    with reading(store.engine) as connection:
        every = _names(store, connection)
        names = [one for one in every if one == name] or [
            one for one in every if name and one.startswith(name)
        ]
        if len(names) != 1:
            what = "no campaign" if not names else f"{len(names)} campaigns whose id begins with"
            raise NotFound(f"The store has {what} {name}: `materialabs campaign list` shows all.")
        return _read(connection, names[0])


def listed(
    store: Store, refused: Callable[[str], None] = lambda sentence: None
) -> list[CampaignRow]:
    """All campaigns that can be read, the oldest first.

    Parameters
    ----------
    refused
        Gets a sentence for each campaign that asks for what this version does not allow.
    """
    rows = []
    with reading(store.engine) as connection:
        for name in _names(store, connection):
            try:
                rows.append(_read(connection, name))
            except InputError as error:
                refused(str(error))
    return rows


def _names(store: Store, connection: Connection) -> list[str]:
    """Ids of all campaigns, the oldest first."""
    if not tasks.have_tables(store.engine):
        return []
    table = task_tables.campaigns
    found = connection.execute(select(table.c.id).order_by(table.c.created, table.c.id))
    return [name for (name,) in found.all()]


def _read(connection: Connection, name: str) -> CampaignRow:
    table = task_tables.campaigns
    row = connection.execute(select(table).where(table.c.id == name)).one()
    document = json.loads(row.request)
    try:
        request = CampaignRequest.from_dict(document["request"])
    except (InputError, KeyError, TypeError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"Campaign {name} was begun by another version of materialabs and cannot be read by "
            f"this one: {why}"
        ) from None
    return CampaignRow(
        row.id, request, row.state, row.reason,
        Budget(row.calls, row.seconds), float(row.spent_seconds), int(row.known_until),
        int(row.created), document["oracle"], tuple(document["known"]),
        document.get("verifies", ""),
    )  # fmt: skip


def refreshed(store: Store, row: CampaignRow) -> CampaignRow:
    """The campaign as it stands now."""
    with reading(store.engine) as connection:
        return _read(connection, row.id)


def extend(store: Store, row: CampaignRow, more: Budget) -> CampaignRow:
    """A campaign with a larger budget, which goes on."""
    budget = row.budget.plus(more)
    with writing(store.engine) as connection:
        _set(connection, row.id, calls=budget.calls, seconds=budget.seconds, state=RUNNING,
             reason="")  # fmt: skip
        tasks.say(connection, row.id, f"The budget was extended by {more} to {budget}.")
        return _read(connection, row.id)


def mark(connection: Connection, name: str, state: str, reason: str) -> None:
    """Set a campaign's state."""
    _set(connection, name, state=state, reason=reason)


def spend(connection: Connection, name: str, seconds: float) -> None:
    """Count time that a campaign ran."""
    table = task_tables.campaigns
    spent = table.c.spent_seconds + seconds
    connection.execute(update(table).where(table.c.id == name).values(spent_seconds=spent))


def _set(connection: Connection, name: str, **values: Any) -> None:
    table = task_tables.campaigns
    connection.execute(update(table).where(table.c.id == name).values(**values))


# -- leading --------------------------------------------------------------------------------------


@contextmanager
def leading(store: Store, row: CampaignRow, leader: str) -> Iterator[None]:
    """Be the one process that plans and signs; what a dead leader held is set free.

    A campaign that was stopped runs again from here on, and workers find it.
    """
    table = task_tables.campaigns
    with writing(store.engine) as connection:
        held = connection.execute(select(table).where(table.c.id == row.id)).one()
        moment = tasks.now(connection)
        mine = held.leader == leader
        if held.leader and not mine and held.leader_until > moment and not gone(held.leader):
            raise ResourceError(
                f"The campaign {row.id} is being run by {held.leader}: join it with "
                "`materialabs worker`, or wait until it ends.",
                code="campaign.running",
            )
        if held.leader:
            who = "An earlier start of this process" if mine else f"The process {held.leader}"
            tasks.say(
                connection, row.id,
                f"{who} ended without a word (killed, or no space left to write why); the "
                "campaign went on from its last transaction.",
            )  # fmt: skip
            tasks.free(connection, held.leader)
        if held.state == STOPPED:
            mark(connection, row.id, RUNNING, "")
        _hold(connection, row.id, leader)
    try:
        yield
    finally:
        with writing(store.engine) as connection:
            mine = table.c.leader == leader
            connection.execute(
                update(table).where(table.c.id == row.id, mine).values(leader="", leader_until=0)
            )


def _hold(connection: Connection, name: str, leader: str) -> None:
    until = tasks.now(connection) + int(LEAD_SECONDS * tasks.MILLISECONDS)
    _set(connection, name, leader=leader, leader_until=until)


def beat(connection: Connection, name: str, leader: str, seconds: float) -> None:
    """Say that the leader lives, and count the time since it last said so."""
    _hold(connection, name, leader)
    spend(connection, name, seconds)


def free_lost(connection: Connection, name: str, me: str) -> None:
    """Open again what other processes held that died, or were silent past their lease."""
    moment = tasks.now(connection)
    for held in tasks.owners(connection, name):
        if held.owner == me:
            continue
        if gone(held.owner):
            count = tasks.free(connection, held.owner)
            tasks.say(connection, name, f"The process {held.owner} died; its {count} tasks were "
                      "given back.")  # fmt: skip
        elif held.until < moment:
            count = tasks.free(connection, held.owner)
            tasks.say(connection, name, f"The worker {held.owner} was not heard of past its lease; "
                      f"its {count} tasks were given to others.")  # fmt: skip


# -- rounds ---------------------------------------------------------------------------------------


def rounds(store: Store, name: str) -> list[dict[str, Any]]:
    """What each round planned and found, in order; ``closed`` tells those that are over."""
    table = task_tables.rounds
    with reading(store.engine) as connection:
        rows = connection.execute(
            select(table).where(table.c.campaign == name).order_by(table.c.number)
        )
        return [
            {"number": row.number, "closed": bool(row.closed)} | json.loads(row.document)
            for row in rows
        ]


def open_round(connection: Connection, name: str, number: int, document: dict[str, Any]) -> None:
    """Write down what a round plans."""
    connection.execute(
        insert(task_tables.rounds).values(
            campaign=name, number=number, document=json.dumps(document), closed=False
        )
    )


def close_round(connection: Connection, name: str, number: int, found: dict[str, Any]) -> None:
    """Write down what a round found."""
    table = task_tables.rounds
    mine = (table.c.campaign == name) & (table.c.number == number)
    text = connection.execute(select(table.c.document).where(mine)).scalar_one()
    document = json.dumps(json.loads(text) | found)
    connection.execute(update(table).where(mine).values(document=document, closed=True))
