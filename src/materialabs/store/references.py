"""Publications that records come from, as entries of their own."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, select

from materialabs.errors import InputError
from materialabs.store import schema
from materialabs.store.database import reading
from materialabs.store.filters.evaluate import holds_plainly
from materialabs.store.filters.fields import Kind
from materialabs.store.filters.syntax import parse

FIELDS: Final[dict[str, Kind]] = {
    "id": "string",
    "type": "string",
    "doi": "string",
    "last_modified": "timestamp",
    "immutable_id": "none",
}
"""Properties of a reference that a filter may name."""


def references(
    engine: Engine, text: str, size: int, cursor: str | None
) -> tuple[list[str], int, str | None]:
    """DOIs that a filter selects: one page, how many in all, and where the next page begins.

    A store cites few publications, so that they are filtered in memory.
    """
    with reading(engine) as connection:
        table = schema.literature.c.doi
        dois = [str(row.doi) for row in connection.execute(select(table).order_by(table))]
    if text.strip():
        expression = parse(text)
        dois = [
            doi
            for doi in dois
            if holds_plainly(expression, {"id": doi, "type": "references", "doi": doi}, FIELDS)
        ]
    start = _start(cursor)
    end = start + size
    return dois[start:end], len(dois), str(end) if end < len(dois) else None


def _start(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isdecimal() or len(cursor) > 9:
        raise InputError("This page does not exist: take the link of the page before.")
    return int(cursor)
