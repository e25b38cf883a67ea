"""Results of a filter: counted, sorted, paged by key, streamed in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    false,
    func,
    or_,
    select,
    true,
)

from materialabs.store import schema
from materialabs.store.blocks.matching import TYPE, Matcher, source_of
from materialabs.store.blocks.ordering import Key, Ranked
from materialabs.store.blocks.reading import packed_until
from materialabs.store.blocks.searching import BlockSearch
from materialabs.store.cursors import read_cursor, write_cursor
from materialabs.store.database import reading
from materialabs.store.filters.fields import Field, Kind, find_field
from materialabs.store.filters.sql import Translator, element_condition
from materialabs.store.filters.syntax import And, Compare, Expression, FilterError, Or, parse
from materialabs.store.rows import chunks

PAGE = 1000
"""Structures fetched at a time when all results are streamed."""

MOST_SORT_KEYS = 8
"""Properties in one sort."""


AHEAD = 32
"""Pages of sorted results whose numbers are found at once, in the end, when all are streamed."""

FEW = 2_000
"""Structures of some elements that are found by an index; more are read from blocks of columns."""

SMALL = 1_000_000
"""Structures up to which their blocks are read faster than the table of sets of elements is."""

FOUND_BY_INDEX = frozenset({"name", "formula", "source"})
"""Columns of which one value is shared by few structures."""


@dataclass(frozen=True)
class SortKey:
    """One property to sort by: its value in SQL, and in blocks of columns."""

    name: str
    column: ColumnElement[Any]
    textual: bool
    in_blocks: Key

    @property
    def descending(self) -> bool:
        """Whether large values come first."""
        return self.in_blocks.descending


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
        find = lru_cache(maxsize=None)(translator.find)
        self._matcher = Matcher(expression, find, predicted)
        self._rare: bool | None = None
        self._pinned = expression is not None and _is_pinned(expression, find)

    # -- counts and pages -------------------------------------------------------------------------

    def count(self) -> int:
        """How many structures there are."""
        with reading(self._engine) as connection:
            return self._count(connection)

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

    def counted_page(self, size: int = PAGE, cursor: str | None = None) -> tuple[int, Page]:
        """How many structures there are, and one page of them, both of the same moment."""
        with reading(self._engine) as connection:
            stop = packed_until(connection)
            if self._systems is not None and not 0 < stop <= SMALL:
                count = self._count(connection)
                self._rare = count <= FEW
                return count, self._page(connection, size, cursor)
            self._rare = False
            search = self._search(connection)
            if search is None:
                return self._count(connection), self._page(connection, size, cursor)
            found = search.page(size + 1, self._marks(cursor), counting=True)
            return search.counted, self._shown(connection, found, size)

    def _count(self, connection: Connection) -> int:
        if self._systems is not None:
            systems = schema.systems.c
            query = select(func.coalesce(func.sum(systems.count), 0)).where(self._systems)
            return int(connection.execute(query).scalar_one())
        search = self._search(connection)
        if search is not None:
            return search.count()
        query = select(func.count()).select_from(schema.structures).where(self.condition)
        return int(connection.execute(query).scalar_one())

    def _page(self, connection: Connection, size: int, cursor: str | None) -> Page:
        found = self._first(connection, size + 1, self._marks(cursor))
        return self._shown(connection, found, size)

    def _first(self, connection: Connection, size: int, marks: list[Any] | None) -> list[Ranked]:
        """The first structures behind a cursor, in order."""
        search = self._search(connection)
        if search is None:
            return self._ranked(connection, None, marks, size)
        return search.page(size, marks, counting=False)

    def _search(self, connection: Connection) -> BlockSearch | None:
        """The search through blocks of columns; ``None`` where an index finds all at once."""
        if self._pinned or (self._matcher.expression is None and not self.keys):
            return None
        stop = packed_until(connection)
        if not stop or self._is_rare(connection):
            return None
        keys = [key.in_blocks for key in self.keys]
        return BlockSearch(connection, self._matcher, keys, stop, self._ranked, self._counted)

    def _is_rare(self, connection: Connection) -> bool:
        """Whether an index finds the few structures of the elements that are asked for."""
        if self._rare is None:
            self._rare = self._systems is not None and self._count(connection) <= FEW
        return self._rare

    def _marks(self, cursor: str | None) -> list[Any] | None:
        return None if cursor is None else read_cursor(cursor, [key.textual for key in self.keys])

    def _shown(self, connection: Connection, found: list[Ranked], size: int) -> Page:
        """The wide rows of ranked structures; one more than ``size`` tells that there is more."""
        chosen = found[:size]
        cursor = write_cursor(chosen[-1]) if chosen and len(found) > size else None
        return Page(_rows(connection, chosen), cursor)

    # -- in SQL -----------------------------------------------------------------------------------

    def _counted(self, connection: Connection, within: ColumnElement[bool]) -> int:
        """How many structures the filter selects among some."""
        table = schema.structures
        query = select(func.count()).select_from(table).where(self.condition, within)
        return int(connection.execute(query).scalar_one())

    def _ranked(
        self,
        connection: Connection,
        within: ColumnElement[bool] | None,
        marks: list[Any] | None,
        size: int,
    ) -> list[Ranked]:
        """The first structures behind a cursor that the filter selects among some, in order."""
        table = schema.structures
        columns = [key.column for key in self.keys]
        labels = [column.label(f"sort_{place}") for place, column in enumerate(columns)]
        chosen = select(table.c.id, *labels).where(self.condition)
        if within is not None:
            chosen = chosen.where(within)
        if marks is not None:
            chosen = chosen.where(self._after(marks))
        rows = connection.execute(chosen.order_by(*self._order(columns), table.c.id).limit(size))
        return [(list(row[1:]), int(row[0])) for row in rows]

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

    # -- all of them ------------------------------------------------------------------------------

    def pages(self, size: int = PAGE) -> Iterator[Page]:
        """All pages of wide rows, in constant memory.

        Where they are sorted, the numbers of more and more are found at once, since finding those
        of one page costs as much.
        """
        ahead = size
        marks: list[Any] | None = None
        while True:
            with reading(self._engine) as connection:
                found = self._first(connection, ahead + 1, marks)
            for start in range(0, max(1, min(len(found), ahead)), size):
                part = found[start : min(start + size, ahead)]
                more = start + size < len(found)
                with reading(self._engine) as connection:
                    rows = _rows(connection, part)
                yield Page(rows, write_cursor(part[-1]) if more else None)
            if len(found) <= ahead:
                return
            marks = [*found[ahead - 1][0], found[ahead - 1][1]]
            ahead = min(2 * ahead, AHEAD * size) if self.keys else size

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """All wide rows, a page at a time."""
        for page in self.pages():
            yield from page.rows

    def names(self) -> list[str]:
        """Names of all structures, in order."""
        return [row["name"] for row in self]


def _rows(connection: Connection, chosen: Sequence[Ranked]) -> list[Mapping[str, Any]]:
    """The wide rows of these structures, in their order."""
    table = schema.structures
    rows: dict[int, Mapping[str, Any]] = {}
    for chunk in chunks([number for _, number in chosen]):
        query = select(table).where(table.c.id.in_(chunk))
        rows.update((row["id"], dict(row)) for row in connection.execute(query).mappings())
    return [rows[number] for _, number in chosen if number in rows]


def _is_pinned(expression: Expression, find: Callable[[str], Field]) -> bool:
    """Whether a filter asks for a value that few structures share, so that an index finds them."""
    match expression:
        case And(parts):
            return any(_is_pinned(part, find) for part in parts)
        case Or(parts):
            return all(_is_pinned(part, find) for part in parts)
        case Compare(name, "=", _):
            return find(name).column in FOUND_BY_INDEX
    return False


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
        key = _key_in_blocks(found, descending=descending, predicted=translator.predicted)
        keys.append(SortKey(found.name, translator.column(found), textual, key))
    return keys


def _key_in_blocks(found: Field, *, descending: bool, predicted: bool) -> Key:
    if found.name == "type":
        return Key(None, descending, TYPE)
    return Key(source_of(found, predicted=predicted), descending)
