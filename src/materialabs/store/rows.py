"""Rows by their keys, in lists short enough for every database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
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


def insert_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert many rows, all with the same columns, as fast as the driver takes them.

    The driver's own list of parameters is used: SQLAlchemy's checks of each row would take
    longer than SQLite's insert.
    """
    if not rows:
        return
    names = list(rows[0])
    driver = connection.dialect.identifier_preparer
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    columns = ", ".join(driver.quote(name) for name in names)
    marks = ", ".join([mark] * len(names))
    statement = f"INSERT INTO {driver.quote(table.name)} ({columns}) VALUES ({marks})"
    connection.exec_driver_sql(statement, _tuples(rows, names))


def _tuples(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> list[tuple[Any, ...]]:
    if len(names) == 1:
        return [(row[names[0]],) for row in rows]
    return list(map(itemgetter(*names), rows))


def chunks(items: list[Any]) -> Iterator[list[Any]]:
    """Parts of a list that fit one statement."""
    return (items[start : start + LOOKUP_CHUNK] for start in range(0, len(items), LOOKUP_CHUNK))
