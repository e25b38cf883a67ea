"""A filter evaluated in plain Python on one structure's document: the definition, without SQL.

``None`` stands for "neither true nor false": a comparison with what is not known.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from materialabs.store.filters.fields import PREFIX, UNKNOWN, Field, Kind, find_field
from materialabs.store.filters.syntax import (
    And,
    Compare,
    Expression,
    FilterError,
    Has,
    Known,
    Length,
    Match,
    Not,
    Or,
    UnsupportedError,
)
from materialabs.store.filters.values import typed

Truth = bool | None

FindField = Callable[[str], Field]
"""Gives the property behind a name."""

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def holds(expression: Expression, document: Mapping[str, Any], narrow: Mapping[str, Kind]) -> Truth:
    """Whether a filter holds for a document of properties by their OPTIMADE names.

    Parameters
    ----------
    expression
        The filter's tree.
    document
        Property name to value; values of one method stand under ``name.method``.
    narrow
        Kind of each property of the narrow table.
    """

    def find(name: str) -> Field:
        return find_field(name, narrow, bare=True, warnings=[])

    return _truth(expression, document, find)


def holds_plainly(
    expression: Expression, document: Mapping[str, Any], kinds: Mapping[str, Kind]
) -> Truth:
    """Whether a filter holds for a document whose properties are all listed.

    Parameters
    ----------
    expression
        The filter's tree.
    document
        Property name to value; what is absent is not known.
    kinds
        Kind of each property that a filter may name.
    """

    def find(name: str) -> Field:
        if name in kinds:
            return Field(name, kinds[name])
        if name.startswith("_"):
            return UNKNOWN
        raise FilterError(f"There is no property {name!r}.", code="filter.unknown_property")

    return _truth(expression, document, find)


def _truth(expression: Expression, document: Mapping[str, Any], find: FindField) -> Truth:
    match expression:
        case And(parts):
            return _all(_truth(part, document, find) for part in parts)
        case Or(parts):
            return _not(_all(_not(_truth(part, document, find)) for part in parts))
        case Not(part):
            return _not(_truth(part, document, find))
    names = expression.names if isinstance(expression, Has) else (expression.name,)
    if len(names) > 1:
        raise UnsupportedError("Lists read side by side are not supported.")
    field = find(names[0])
    if not field.queryable:
        raise UnsupportedError(f"Filtering on {field.name} is not supported.")
    return _leaf(expression, field, _value(field, names[0], document))


def _value(field: Field, name: str, document: Mapping[str, Any]) -> Any:
    if field.method is not None or field.functional:
        return document.get(PREFIX + name.removeprefix(PREFIX))
    return document.get(field.name)


def _leaf(expression: Expression, field: Field, value: Any) -> Truth:
    is_list = field.kind in ("strings", "integers")
    match expression:
        case Known(_, known):
            return (value is not None) == known
        case Compare(_, sign, constant):
            _refuse_list(field, is_list)
            wanted = typed(field, constant)
            return None if value is None else COMPARISONS[sign](value, wanted)
        case Match(_, where, text):
            _refuse_list(field, is_list)
            if field.kind not in ("string", "none"):
                raise UnsupportedError(f"{field.name} is not a text.")
            return None if value is None else _matches(str(value), where, text)
        case Length(_, sign, count):
            _require_list(field, is_list)
            return None if value is None else COMPARISONS[sign](len(value), count)
        case Has(_, quantifier, rows):
            _require_list(field, is_list)
            if {row[0][0] for row in rows} != {"="}:
                raise UnsupportedError("Comparisons of the items of a list are not supported.")
            wanted_items = {typed(field, row[0][1]) for row in rows}
            return None if value is None else _has(set(value), quantifier, wanted_items)
    raise UnsupportedError("This form of filter is not supported.")


def _matches(value: str, where: str, text: str) -> bool:
    if where == "contains":
        return text in value
    return value.startswith(text) if where == "starts" else value.endswith(text)


def _has(items: set[Any], quantifier: str, wanted: set[Any]) -> bool:
    if quantifier == "ALL":
        return wanted <= items
    if quantifier == "ANY":
        return bool(wanted & items)
    return items <= wanted


def _refuse_list(field: Field, is_list: bool) -> None:
    if is_list:
        raise UnsupportedError(f"{field.name} is a list: use HAS or LENGTH.")


def _require_list(field: Field, is_list: bool) -> None:
    if not is_list and field.kind != "none":
        raise UnsupportedError(f"{field.name} is not a list.")


def _all(truths: Iterable[Truth]) -> Truth:
    seen = list(truths)
    if False in seen:
        return False
    return None if None in seen else True


def _not(truth: Truth) -> Truth:
    return None if truth is None else not truth
