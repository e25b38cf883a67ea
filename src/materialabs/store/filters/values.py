"""Constants of a filter as values of a property's type; a wrong type is refused."""

from __future__ import annotations

from datetime import UTC, datetime

from materialabs.store.filters.fields import Field
from materialabs.store.filters.syntax import Constant, FilterError, UnsupportedError

LARGEST_INTEGER = 1 << 62
"""Whole numbers beyond this do not fit the databases' columns."""


def typed(field: Field, value: Constant) -> Constant:
    """The constant as the property's type, refused with 501's error where it is of another."""
    kind = field.kind
    if kind in ("string", "strings"):
        return _require(field, value, isinstance(value, str))
    if kind in ("integer", "integers", "float"):
        number = _require(
            field, value, isinstance(value, (int, float)) and not isinstance(value, bool)
        )
        if abs(float(number)) > LARGEST_INTEGER:
            return float(number)
        return number
    if kind == "boolean":
        return _require(field, value, isinstance(value, bool))
    if kind == "timestamp":
        return seconds(str(_require(field, value, isinstance(value, str))))
    return value


def _require(field: Field, value: Constant, right: bool) -> Constant:
    if not right:
        raise UnsupportedError(
            f"{field.name or 'The property'} is a {field.kind} and {value!r} is not."
        )
    return value


def seconds(text: str) -> float:
    """A time in RFC 3339 as seconds since 1970."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise FilterError(f"{text!r} is not a time such as 2026-01-31T12:00:00Z.") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()
