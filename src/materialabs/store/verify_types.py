"""Every value of a SQLite store has the kind that its column says; PostgreSQL holds that itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Double,
    LargeBinary,
    Table,
    Text,
    func,
    literal_column,
    or_,
    select,
)

from materialabs.store import schema

KINDS: Final[dict[type, str]] = {LargeBinary: "blob", Text: "text", Double: "real"}
"""SQLite's storage class of each type of column; all others are whole numbers."""


def type_problems(connection: Connection) -> Iterator[tuple[str, str]]:
    """(place, sentence) for every value of another kind than its column's."""
    if connection.engine.dialect.name != "sqlite":
        return
    for name, table in schema.metadata.tables.items():
        if name in schema.OPERATIONAL:
            continue
        for column in table.columns:
            wrong = _wrong(column)
            for row in connection.execute(_places(table).where(wrong).limit(1)):
                place = f"{name} {' '.join(_shown(value) for value in row)}, column {column.name}"
                yield place, f"The column {column.name} of {place.split(',')[0]} was changed."


def _wrong(column: Column[Any]) -> Any:
    kinds = [kind for cls, kind in KINDS.items() if isinstance(column.type, cls)]
    kind = kinds[0] if kinds else "integer"
    found = func.typeof(column)
    allowed = [kind, "null"] if column.nullable else [kind]
    wrong: ColumnElement[bool] = found.not_in(allowed)
    if isinstance(column.type, Boolean):
        number: ColumnElement[int] = literal_column(f'"{column.table.name}"."{column.name}"')
        wrong = or_(wrong, number.not_in([0, 1]))
    if kind == "text":  # a zero byte ends a text early for some of SQLite's own functions
        wrong = or_(wrong, func.instr(column, func.char(0)) > 0)
    return wrong


def _places(table: Table) -> Any:
    """The columns that name a row: its hash or name where it has one, otherwise its key."""
    for name in ("hash", "name", "system", "origin"):
        if name in table.columns and name != "key":
            return select(_readable(table.columns[name]))
    return select(*(_readable(column) for column in table.primary_key.columns))


def _readable(column: Column[Any]) -> Any:
    if isinstance(column.type, LargeBinary):
        return func.lower(func.hex(column))
    return func.quote(column)


def _shown(value: object) -> str:
    return str(value).strip("'")[:200]
