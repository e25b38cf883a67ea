"""Rows by their keys, in lists short enough for every database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Connection, Table, func, select

LOOKUP_CHUNK = 500
"""Keys in one IN list; SQLite allows 32,766 variables."""


def lookup(
    connection: Connection, table: Table, key: Column[Any], wanted: set[Any]
) -> dict[Any, int]:
    """Ids of the rows with these keys."""
    found: dict[Any, int] = {}
    for chunk in chunks(sorted(wanted)):
        for row in connection.execute(select(table.c.id, key).where(key.in_(chunk))):
            name = bytes(row[1]) if isinstance(row[1], (bytes, memoryview)) else row[1]
            found[name] = row[0]
    return found


def next_id(connection: Connection, table: Table) -> int:
    """The first free number of a table; the caller holds the writer's lock."""
    largest = connection.execute(select(func.max(table.c.id))).scalar_one()
    return 1 if largest is None else int(largest) + 1


def chunks(items: list[Any]) -> Iterator[list[Any]]:
    """Parts of a list that fit one statement."""
    return (items[start : start + LOOKUP_CHUNK] for start in range(0, len(items), LOOKUP_CHUNK))
