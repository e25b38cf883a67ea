"""A filter as a tree: what the text says, before anything is known about the properties."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from lark import Lark, Token, Transformer, UnexpectedInput
from lark.exceptions import VisitError

from materialabs.errors import InputError

if TYPE_CHECKING:
    from lark import Tree

LONGEST_FILTER = 50_000
"""Characters; a longer filter is refused unread."""

DEEPEST_BRACKETS = 50
"""Levels of brackets; deeper ones are refused unread."""

MOST_COMPARISONS = 1000
"""Comparisons in one filter; databases limit the depth of an expression."""

Operator = Literal["=", "!=", "<", "<=", ">", ">="]
Constant = str | float | int | bool
MIRRORED: dict[str, Operator] = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
"""What an operator becomes when its sides change places."""


@dataclass(frozen=True)
class And:
    """All parts hold."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Or:
    """At least one part holds."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Not:
    """The part does not hold; what is unknown stays unknown."""

    part: Expression


@dataclass(frozen=True)
class Compare:
    """A property against a constant."""

    name: str
    operator: Operator
    value: Constant


@dataclass(frozen=True)
class Known:
    """Whether a property has a value at all."""

    name: str
    known: bool


@dataclass(frozen=True)
class Match:
    """A text against a part of it."""

    name: str
    where: Literal["contains", "starts", "ends"]
    text: str


@dataclass(frozen=True)
class Length:
    """The number of items of a list."""

    name: str
    operator: Operator
    count: float


@dataclass(frozen=True)
class Has:
    """Items of a list, or of lists read side by side.

    Parameters
    ----------
    names
        One property, or several whose items at the same place belong together.
    quantifier
        ``ANY`` (plain HAS), ``ALL`` or ``ONLY``.
    rows
        For each wanted place, an (operator, value) for each property.
    """

    names: tuple[str, ...]
    quantifier: Literal["ALL", "ANY", "ONLY"]
    rows: tuple[tuple[tuple[Operator, Constant], ...], ...]


Expression = And | Or | Not | Compare | Known | Match | Length | Has


class UnsupportedError(InputError):
    """A part of the language that is optional and not supported here (HTTP 501)."""

    default_code = "filter.not_implemented"


class FilterError(InputError):
    """A filter that cannot be read or that asks for what there is not (HTTP 400)."""

    default_code = "filter"


@lru_cache(maxsize=1024)
def parse(text: str) -> Expression:
    """Read a filter.

    Raises
    ------
    FilterError
        Saying where it stops making sense.
    """
    _check_size(text)
    try:
        tree: Tree[Any] = _parser().parse(text)
        expression: Expression = _Builder().transform(tree)
    except UnexpectedInput as error:
        place = getattr(error, "pos_in_stream", None)
        near = text[place : place + 20] if isinstance(place, int) and place >= 0 else ""
        where = f"at {near!r}" if near else "at its end"
        raise FilterError(
            f"The filter cannot be read {where}; it reads like "
            'elements HAS ALL "Li","S" AND band_gap > 1.'
        ) from error
    except VisitError as error:
        if isinstance(error.orig_exc, InputError):
            raise error.orig_exc from None
        raise
    return expression


def _check_size(text: str) -> None:
    if len(text) > LONGEST_FILTER:
        raise FilterError(
            f"A filter of {len(text)} characters is refused; {LONGEST_FILTER} are the limit."
        )
    if not text.strip():
        raise FilterError("The filter is empty.")
    if "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise FilterError("A filter holds no null characters and no halves of characters.")
    depth = deepest = comparisons = 0
    quoted = escaped = False
    for sign in text:
        if quoted:
            quoted = escaped or sign != '"'
            escaped = sign == "\\" and not escaped
        elif sign == '"':
            quoted, escaped = True, False
        elif sign in "()":
            depth += 1 if sign == "(" else -1
            deepest = max(deepest, depth)
        elif sign in "=<>":
            comparisons += 1
    if deepest > DEEPEST_BRACKETS:
        raise FilterError(f"Brackets nest {deepest} deep; {DEEPEST_BRACKETS} is the limit.")
    if comparisons + text.count("AND") + text.count("OR") + text.count(",") > MOST_COMPARISONS:
        raise FilterError(f"A filter with over {MOST_COMPARISONS} comparisons is refused.")


@lru_cache(maxsize=1)
def _parser() -> Lark:
    grammar = resources.files("materialabs.store.filters").joinpath("grammar.lark").read_text()
    return Lark(grammar, start="filter", parser="lalr", maybe_placeholders=False)


class _Builder(Transformer[Token, Expression]):
    """Turn lark's tree into ours."""

    def filter(self, parts: list[Any]) -> Any:
        return parts[0]

    def expression(self, parts: list[Any]) -> Any:
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def clause(self, parts: list[Any]) -> Any:
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def phrase(self, parts: list[Any]) -> Any:
        return Not(parts[1]) if len(parts) == 2 else parts[0]

    def constant_first(self, parts: list[Any]) -> Compare:
        value, operator, name = parts
        return Compare(name.text, MIRRORED[str(operator)], value)

    def property_first(self, parts: list[Any]) -> Compare:
        name, operator, value = parts
        if isinstance(value, _Name):
            raise UnsupportedError("Comparing two properties with each other is not supported.")
        return Compare(name.text, MIRRORED[MIRRORED[str(operator)]], value)

    def known(self, parts: list[Any]) -> Known:
        return Known(parts[0].text, str(parts[1]) == "KNOWN")

    def contains(self, parts: list[Any]) -> Match:
        return Match(parts[0].text, "contains", _text(parts[2]))

    def starts(self, parts: list[Any]) -> Match:
        return Match(parts[0].text, "starts", _text(parts[2]))

    def ends(self, parts: list[Any]) -> Match:
        return Match(parts[0].text, "ends", _text(parts[2]))

    def length(self, parts: list[Any]) -> Length:
        operator = MIRRORED[MIRRORED[str(parts[1])]] if len(parts) == 3 else "="
        return Length(parts[0].text, operator, parts[-1])

    def has(self, parts: list[Any]) -> Has:
        return Has((parts[0].text,), "ANY", ((parts[1],),))

    def has_quantified(self, parts: list[Any]) -> Has:
        rows = tuple((item,) for item in parts[2])
        return Has((parts[0].text,), _quantifier(parts[1]), rows)

    def zip_has(self, parts: list[Any]) -> Has:
        return _zipped(parts[0], "ANY", (parts[1],))

    def zip_has_quantified(self, parts: list[Any]) -> Has:
        return _zipped(parts[0], _quantifier(parts[1]), tuple(parts[2]))

    def item(self, parts: list[Any]) -> tuple[Operator, Constant]:
        operator = MIRRORED[MIRRORED[str(parts[0])]] if len(parts) == 2 else "="
        return operator, parts[-1]

    def items(self, parts: list[Any]) -> list[Any]:
        return parts

    def zipped(self, parts: list[Any]) -> tuple[str, ...]:
        return tuple(part.text for part in parts)

    def row(self, parts: list[Any]) -> tuple[Any, ...]:
        return tuple(parts)

    def rows(self, parts: list[Any]) -> list[Any]:
        return parts

    def string(self, parts: list[Any]) -> str:
        return re.sub(r"\\(.)", r"\1", str(parts[0])[1:-1])

    def number(self, parts: list[Any]) -> float | int:
        text = str(parts[0])
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise FilterError(f"The number {text[:20]} is too large.")
        if text.lstrip("+-").isdecimal() and abs(value) < 1 << 53:
            return int(text)
        return value

    def boolean(self, parts: list[Any]) -> bool:
        return str(parts[0]) == "TRUE"

    def property(self, parts: list[Any]) -> _Name:
        return _Name(".".join(str(part) for part in parts))


@dataclass(frozen=True)
class _Name:
    """A property's name, told from a text constant."""

    text: str


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UnsupportedError("CONTAINS, STARTS and ENDS compare with a text in double quotes.")
    return value


def _quantifier(token: Token) -> Any:
    return str(token)


def _zipped(names: tuple[str, ...], quantifier: Any, rows: tuple[Any, ...]) -> Has:
    if any(len(row) != len(names) for row in rows):
        raise FilterError("Lists read side by side need a value for each, joined by colons.")
    return Has(names, quantifier, rows)
