"""The tables of the queue of relaxations, a schema of its own (:mod:`materialabs.store.tasks`).

A store that never ran a campaign does not have them, and verification does not look at them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

metadata = MetaData()

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", Text, primary_key=True),
    Column("identity", Text, nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("request", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("calls", Integer),  # the budget; one of the two is given
    Column("seconds", Double),
    Column("spent_seconds", Double, nullable=False),
    Column("known_until", BigInteger, nullable=False),
    Column("leader", Text, nullable=False),
    Column("leader_until", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
)
"""One row for each campaign."""

rounds = Table(
    "campaign_rounds",
    metadata,
    Column("campaign", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("document", Text, nullable=False),
    Column("closed", Boolean, nullable=False),
)
"""What each round planned and found."""

tasks = Table(
    "tasks",
    metadata,
    Column("key", Text, primary_key=True),
    Column("level", Text, nullable=False),
    Column("settings", Text, nullable=False),
    Column("crystal", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("result", Text),
    Column("relaxed", LargeBinary),
    Column("record", LargeBinary),
    Index("tasks_by_state", "state", "lease_until"),
)
"""Relaxations by their key: what was computed once is not computed again in any campaign."""

campaign_tasks = Table(
    "campaign_tasks",
    metadata,
    Column("campaign", Text, primary_key=True),
    Column("task", Text, primary_key=True),
    Column("round", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("role", Text, nullable=False),
    Column("reused", Boolean, nullable=False),
    Column("document", Text, nullable=False),
    Index("campaign_tasks_by_round", "campaign", "round", "position"),
)
"""Which campaign asked for which task, in which round, and why."""

relaxation_states = Table(
    "relaxation_states",
    metadata,
    Column("task", Text, primary_key=True),
    Column("state", LargeBinary, nullable=False),
)
"""Where relaxations in flight stood last."""

campaign_events = Table(
    "campaign_events",
    metadata,
    Column("campaign", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("moment", BigInteger, nullable=False),
    Column("sentence", Text, nullable=False),
)
"""What happened that a reader of the report should know."""
