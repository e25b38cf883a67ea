"""A filter as parameterised SQL for SQLite and PostgreSQL.

What is unknown is NULL, and SQL's three-valued logic is the filter language's: a comparison with
an unknown value neither holds nor fails.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, and_, false, func, literal, not_, null, or_, select, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import cast as sql_cast
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Boolean

from materialabs.elements import NUMBER_OF
from materialabs.store import schema
from materialabs.store.filters.fields import PREFIX, Field, Kind, find_field
from materialabs.store.filters.syntax import (
    And,
    Compare,
    Expression,
    Has,
    Known,
    Length,
    Match,
    Not,
    Or,
    UnsupportedError,
)
from materialabs.store.filters.values import typed
from materialabs.store.schema import WIDE_PROPERTIES

Condition = ColumnElement[bool]

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

WORD = 1 << 64
"""A mask of elements has two words of this many values."""


@dataclass
class Translator:
    """Turns a filter's tree into a condition on the ``structures`` table.

    Parameters
    ----------
    narrow
        Kind of each property of the narrow table.
    bare
        Whether our own properties may be named without the prefix.
    predicted
        Whether models' values count for the bare name of a property.
    warnings
        Filled with a sentence for each property of another provider.
    """

    narrow: Mapping[str, Kind]
    bare: bool = True
    predicted: bool = False
    warnings: list[str] = field(default_factory=list)

    def condition(self, expression: Expression) -> Condition:
        """The condition that a filter's tree stands for."""
        wanted = element_condition(expression)
        if wanted is not None and _asks_for_elements(expression):
            return schema.structures.c.system_id.in_(select(schema.systems.c.id).where(wanted))
        match expression:
            case And(parts):
                return and_(*(self.condition(part) for part in _elements_together(parts)))
            case Or(parts):
                return or_(*(self.condition(part) for part in parts))
            case Not(part):
                return not_(self.condition(part))
            case Compare(name, sign, value):
                return self._compare(self.find(name), sign, value)
            case Known(name, known):
                return self._known(self.find(name), known)
            case Match():
                return self._match(self.find(expression.name), expression)
            case Length(name, sign, count):
                return self._length(self.find(name), sign, count)
            case Has():
                return self._has(expression)

    def find(self, name: str) -> Field:
        """The property behind a name, refused where filters may not name it."""
        found = find_field(name, self.narrow, bare=self.bare, warnings=self.warnings)
        if not found.queryable:
            raise UnsupportedError(f"Filtering on {found.name} is not supported.")
        return found

    def column(self, found: Field) -> ColumnElement[Any]:
        """The SQL value of a property of one kind only."""
        wide = schema.structures.c
        if found.kind in ("strings", "integers"):
            raise UnsupportedError(f"{found.name} is a list: use HAS or LENGTH.")
        if found.name == "type":
            return literal("structures")
        if found.kind == "none":
            return null()
        if not found.column:
            return _narrow_value(found)
        if self.predicted and found.column in WIDE_PROPERTIES:
            return func.coalesce(wide[found.column], wide[f"{found.column}_model"])
        return wide[found.column]

    def _compare(self, found: Field, sign: str, value: Any) -> Condition:
        column = self.column(found)
        if found.kind == "none":
            return _nothing()
        return _condition(COMPARISONS[sign](column, typed(found, value)))

    def _known(self, found: Field, known: bool) -> Condition:
        if found.kind in ("strings", "integers"):
            return true() if known else false()
        if found.kind == "none":
            return false() if known else true()
        column = self.column(found)
        return column.is_not(None) if known else column.is_(None)

    def _match(self, found: Field, wanted: Match) -> Condition:
        column = self.column(found)
        if found.kind == "none":
            return _nothing()
        if found.kind != "string":
            raise UnsupportedError(f"{found.name} is not a text.")
        size = len(wanted.text)
        if wanted.where == "contains":
            return _condition(_Position(column, literal(wanted.text)) > 0)
        if wanted.where == "starts":
            return _condition(func.substr(column, 1, size) == wanted.text)
        tail = func.substr(column, func.length(column) - size + 1)
        return and_(func.length(column) >= size, tail == wanted.text)

    def _length(self, found: Field, sign: str, count: float) -> Condition:
        wide = schema.structures.c
        if found.kind == "none":
            return _nothing()
        sizes: dict[str, ColumnElement[Any]] = {
            "elements": wide.nelements,
            "structure_features": sql_cast(wide.disordered, schema.structures.c.nsites.type),
            "dimension_types": literal(3),
        }
        if found.name not in sizes:
            raise UnsupportedError(f"{found.name} is not a list.")
        return _condition(COMPARISONS[sign](sizes[found.name], count))

    def _has(self, wanted: Has) -> Condition:
        if len(wanted.names) > 1:
            raise UnsupportedError("Lists read side by side are not supported.")
        found = self.find(wanted.names[0])
        if found.kind == "none":
            return _nothing()
        if found.kind not in ("strings", "integers"):
            raise UnsupportedError(f"{found.name} is not a list.")
        signs = {item[0][0] for item in wanted.rows}
        if signs != {"="}:
            raise UnsupportedError("Comparisons of the items of a list are not supported.")
        values = [typed(found, item[0][1]) for item in wanted.rows]
        return _short_list(found, wanted.quantifier, values)


def _condition(expression: Any) -> Condition:
    result: Condition = expression
    return result


def _nothing() -> Condition:
    """Neither true nor false: the property is unknown."""
    return sql_cast(null(), Boolean())


class _Position(FunctionElement[int]):
    """Where a text stands in another, counted from 1; 0 where it does not."""

    inherit_cache = True


@compiles(_Position, "sqlite")
def _position_on_sqlite(element: _Position, compiler: SQLCompiler, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(_Position, "postgresql")
def _position_on_postgresql(element: _Position, compiler: SQLCompiler, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


def _narrow_value(found: Field) -> ColumnElement[Any]:
    """The newest value of the narrow table that a name selects, for each crystal.

    ``+ 0`` keeps the databases from walking all values of a name for each crystal, which has few.
    """
    values, names = schema.property_values.c, schema.property_names.c
    records, levels = schema.records.c, schema.levels.c
    wanted = [
        values.crystal_id == schema.structures.c.id,
        names.name == found.name.removeprefix(PREFIX),
        records.superseded.is_(False),
    ]
    source = schema.property_values.join(
        schema.property_names, names.id == values.name_id + 0
    ).join(schema.records, records.id == values.record_id)
    if found.method is not None:
        wanted.append(values.method == found.method)
    if found.functional:
        source = source.join(schema.levels, levels.id == values.level_id)
        wanted.append(levels.functional == found.functional)
    value = values.text if found.kind == "string" else values.number
    wanted.append(value.is_not(None))
    return (
        select(value)
        .select_from(source)
        .where(*wanted)
        .order_by(values.method, values.record_id.desc(), values.id)
        .limit(1)
        .correlate(schema.structures)
        .scalar_subquery()
    )


def element_condition(expression: Expression) -> Condition | None:
    """A filter on elements alone as a condition on the small table of distinct sets of elements.

    ``None`` where the filter asks for anything else.
    """
    systems = schema.systems.c
    match expression:
        case And(parts) | Or(parts):
            found = [element_condition(part) for part in parts]
            known = [one for one in found if one is not None]
            if len(known) < len(found):
                return None
            return and_(*known) if isinstance(expression, And) else or_(*known)
        case Not(part):
            inner = element_condition(part)
            return None if inner is None else not_(inner)
        case Has(("elements",), quantifier, rows):
            values = [row[0][1] for row in rows]
            if {row[0][0] for row in rows} != {"="} or not all(isinstance(v, str) for v in values):
                return None
            return _elements(quantifier, [str(value) for value in values])
        case Length("elements", sign, count):
            return _condition(COMPARISONS[sign](systems.nelements, count))
        case Compare("nelements", sign, value) if isinstance(value, int) and value is not True:
            return _condition(COMPARISONS[sign](systems.nelements, value))
    return None


def _asks_for_elements(expression: Expression) -> bool:
    """Whether a filter names elements, not only how many there are."""
    match expression:
        case And(parts) | Or(parts):
            return any(_asks_for_elements(part) for part in parts)
        case Not(part):
            return _asks_for_elements(part)
        case Has(("elements",), _, _):
            return True
    return False


def _elements_together(parts: tuple[Expression, ...]) -> list[Expression]:
    """The parts of a conjunction, those on elements joined so that their table is read once."""
    alone = [part for part in parts if element_condition(part) is None]
    together = tuple(part for part in parts if element_condition(part) is not None)
    if len(together) < 2 or not alone:
        return list(parts)
    return [*alone, And(together)]


def _elements(quantifier: str, symbols: list[str]) -> Condition:
    """Sets of elements by bit mask."""
    systems = schema.systems.c
    known = [NUMBER_OF[symbol] for symbol in symbols if symbol in NUMBER_OF]
    if quantifier == "ALL" and len(known) < len(symbols):
        return false()
    low, high = _mask(known)
    if quantifier == "ALL":
        return and_(
            systems.elements_low.op("&")(low) == low, systems.elements_high.op("&")(high) == high
        )
    if quantifier == "ANY":
        return or_(systems.elements_low.op("&")(low) != 0, systems.elements_high.op("&")(high) != 0)
    return and_(systems.elements_low.op("&")(~low) == 0, systems.elements_high.op("&")(~high) == 0)


def _mask(numbers: list[int]) -> tuple[int, int]:
    """Two signed words with the bits of these elements, as the ``systems`` table keeps them."""
    words = [0, 0]
    for number in numbers:
        words[number // 64] |= 1 << (number % 64)
    low, high = (word - WORD if word >= WORD // 2 else word for word in words)
    return low, high


def _short_list(found: Field, quantifier: str, values: list[Any]) -> Condition:
    """Lists with few possible items, each item a condition of its own."""
    wide = schema.structures.c
    items: dict[Any, Condition] = (
        {"disorder": wide.disordered.is_(True)}
        if found.name == "structure_features"
        else {1: wide.dimensions > 0, 0: wide.dimensions < 3}
    )
    present = [items.get(value, false()) for value in values]
    if quantifier == "ALL":
        return and_(*present)
    if quantifier == "ANY":
        return or_(*present)
    others = [not_(condition) for item, condition in items.items() if item not in values]
    return and_(true(), *others)
