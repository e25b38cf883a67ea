"""Results of a filter: counted, sorted, paged by key, streamed in constant memory."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    and_,
    false,
    func,
    or_,
    select,
    true,
)

from materialabs.errors import InputError
from materialabs.store import schema
from materialabs.store.database import reading
from materialabs.store.filters.fields import Kind, find_field
from materialabs.store.filters.sql import Translator, element_condition
from materialabs.store.filters.syntax import FilterError, parse
from materialabs.store.filters.values import LARGEST_INTEGER
from materialabs.store.records import METHOD_KINDS

PAGE = 1000
"""Structures fetched at a time when all results are streamed."""

MOST_SORT_KEYS = 8
"""Properties in one sort."""


@dataclass(frozen=True)
class SortKey:
    """One property to sort by, and its value in SQL."""

    name: str
    descending: bool
    column: ColumnElement[Any]
    textual: bool


@dataclass(frozen=True)
class Page:
    """A part of the results.

    Parameters
    ----------
    rows
        The wide rows, in order.
    cursor
        Where the next page begins; ``None`` at the end.
    """

    rows: list[Mapping[str, Any]]
    cursor: str | None


class Results:
    """What a filter selects; nothing is read until it is asked for.

    Parameters
    ----------
    engine
        The store's database.
    text
        The filter; empty for everything.
    sort
        Property names joined by commas, a minus before those that fall: ``-band_gap,id``.
    bare
        Whether our own properties may be named without their prefix.
    predicted
        Whether models' values count for bare property names.
    """

    def __init__(
        self,
        engine: Engine,
        text: str = "",
        *,
        sort: str = "",
        bare: bool = True,
        predicted: bool = False,
    ) -> None:
        self._engine = engine
        translator = Translator(_NarrowKinds(engine), bare=bare, predicted=predicted)
        expression = parse(text) if text.strip() else None
        self.condition = true() if expression is None else translator.condition(expression)
        self._systems = true() if expression is None else element_condition(expression)
        self.keys = _sort_keys(sort, translator)
        self.warnings = translator.warnings

    def count(self) -> int:
        """How many structures there are."""
        query = select(func.count()).select_from(schema.structures).where(self.condition)
        if self._systems is not None:
            query = select(func.coalesce(func.sum(schema.systems.c.count), 0)).where(self._systems)
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

    def page(self, size: int = PAGE, cursor: str | None = None) -> Page:
        """One page of wide rows.

        Parameters
        ----------
        size
            Rows at most.
        cursor
            From the page before; the first page without it.
        """
        with reading(self._engine) as connection:
            return self._page(connection, size, cursor)

    def _page(self, connection: Connection, size: int, cursor: str | None) -> Page:
        query = self._query(size + 1, cursor)
        rows = [dict(row) for row in connection.execute(query).mappings()]
        more = len(rows) > size
        rows = rows[:size]
        last = self._cursor(rows[-1]) if more and rows else None
        for row in rows:
            for place in range(len(self.keys)):
                row.pop(f"sort_{place}", None)
        return Page(rows, last)  # type: ignore[arg-type]

    def _query(self, size: int, cursor: str | None) -> Select[Any]:
        """The wide rows of one page; the ids are found and sorted first, from the indexes alone."""
        table = schema.structures
        marks = [key.column.label(f"sort_{place}") for place, key in enumerate(self.keys)]
        chosen = select(table.c.id, *marks).where(self.condition)
        if cursor is not None:
            chosen = chosen.where(self._after(_read_cursor(cursor, self.keys)))
        columns = [key.column for key in self.keys]
        chosen = chosen.order_by(*self._order(columns), table.c.id).limit(size)
        inner = chosen.subquery("chosen")
        found = [inner.c[mark.name] for mark in marks]
        return (
            select(table, *found)
            .join(inner, inner.c.id == table.c.id)
            .order_by(*self._order(found), table.c.id)
        )

    def _order(self, columns: Sequence[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
        """The order of the sort keys, unknown values last."""
        return [
            column.desc().nulls_last() if key.descending else column.asc().nulls_last()
            for key, column in zip(self.keys, columns, strict=True)
        ]

    def _after(self, values: list[Any]) -> ColumnElement[bool]:
        """The condition for rows behind a cursor; unknown values come last."""
        *marks, last = values
        reached: ColumnElement[bool] = schema.structures.c.id > last
        for key, mark in zip(reversed(self.keys), reversed(marks), strict=True):
            if mark is None:
                beyond: ColumnElement[bool] = false()
                same: ColumnElement[bool] = key.column.is_(None)
            else:
                further = key.column < mark if key.descending else key.column > mark
                beyond = or_(further, key.column.is_(None))
                same = key.column == mark
            reached = or_(beyond, and_(same, reached))
        return reached

    def _cursor(self, row: Mapping[str, Any]) -> str:
        marks = [row[f"sort_{place}"] for place in range(len(self.keys))]
        text = json.dumps([*marks, row["id"]], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """All wide rows, a page at a time."""
        cursor = None
        while True:
            page = self.page(PAGE, cursor)
            yield from page.rows
            if page.cursor is None:
                return
            cursor = page.cursor

    def names(self) -> list[str]:
        """Names of all structures, in order."""
        return [row["name"] for row in self]


class _NarrowKinds(Mapping[str, Kind]):
    """:func:`narrow_kinds`, read only when a filter names a property without a wide column."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @cached_property
    def _kinds(self) -> dict[str, Kind]:
        with reading(self._engine) as connection:
            return narrow_kinds(connection)

    def __getitem__(self, name: str) -> Kind:
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)


def narrow_kinds(connection: Connection) -> dict[str, Kind]:
    """Kind of each property of the narrow table: text where it holds texts, else number."""
    names, values = schema.property_names.c, schema.property_values.c
    rows = connection.execute(
        select(
            names.name,
            select(values.id)
            .where(
                values.name_id == names.id,
                values.method.in_(range(len(METHOD_KINDS))),  # so that the index leads there
                values.number.is_(None),
                values.text.is_not(None),
            )
            .limit(1)
            .correlate(schema.property_names)
            .scalar_subquery()
            .label("text"),
        )
    )
    return {row.name: "float" if row.text is None else "string" for row in rows}


def _sort_keys(text: str, translator: Translator) -> list[SortKey]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(names) > MOST_SORT_KEYS:
        raise FilterError(f"Results are sorted by at most {MOST_SORT_KEYS} properties.")
    keys = []
    for name in names:
        descending = name.startswith("-")
        found = find_field(
            name.lstrip("-"), translator.narrow, bare=translator.bare, warnings=translator.warnings
        )
        if not found.sortable and found.column == "" and found.kind not in ("float", "string"):
            raise FilterError(f"Results cannot be sorted by {name.lstrip('-')}.")
        textual = found.kind == "string" or found.name == "type"
        keys.append(SortKey(found.name, descending, translator.column(found), textual))
    return keys


def _read_cursor(text: str, keys: Sequence[SortKey]) -> list[Any]:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        values = json.loads(raw)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InputError("This page does not exist: take the link of the page before.") from error
    if not isinstance(values, list) or len(values) != len(keys) + 1 or not _fits(values, keys):
        raise InputError("This page does not exist: take the link of the page before.")
    return values


def _fits(values: list[Any], keys: Sequence[SortKey]) -> bool:
    """Whether a cursor's values are of the types of the columns that they are compared with."""
    *marks, last = values
    return _is_number(last) and isinstance(last, int) and all(
        mark is None or (isinstance(mark, str) and "\0" not in mark if key.textual
                         else _is_number(mark))
        for mark, key in zip(marks, keys, strict=True)
    )  # fmt: skip


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= LARGEST_INTEGER
