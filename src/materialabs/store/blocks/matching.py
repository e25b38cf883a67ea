"""A filter evaluated on a block of columns, all its rows at once.

A row of which something is unknown is neither among those where a comparison holds nor among those
where it fails, as in SQL.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import numpy as np

from materialabs.elements import NUMBER_OF
from materialabs.store.blocks.contents import ELEMENTS, narrow_column
from materialabs.store.blocks.encoding import Numbers, Truths
from materialabs.store.blocks.reading import Block
from materialabs.store.blocks.texts import Texts
from materialabs.store.filters.fields import PREFIX, Field
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
)
from materialabs.store.filters.values import typed
from materialabs.store.records import METHOD_KINDS
from materialabs.store.schema import WIDE_PROPERTIES

COMPARISONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip

TYPE: Final = "structures"
"""Of every entry."""

ALL_DIMENSIONS: Final = 3
"""Of a crystal; it is periodic along some of them."""

_WORD_BITS: Final = 64


@dataclass(frozen=True)
class Source:
    """The columns of a block that a property's values stand in, the first that is known."""

    names: tuple[str, ...]
    textual: bool


def source_of(found: Field, *, predicted: bool) -> Source:
    """Where the values of a property of one kind stand."""
    if not found.column:
        selection = found.functional
        if found.method is not None:
            selection = METHOD_KINDS[found.method].replace("-", "_")
        textual = found.kind == "string"
        name = narrow_column(found.name.removeprefix(PREFIX), selection, textual=textual)
        return Source((name,), textual)
    if predicted and found.column in WIDE_PROPERTIES:
        return Source((found.column, f"{found.column}_model"), textual=False)
    return Source((found.column,), found.kind == "string")


def numbers_of(block: Block, source: Source) -> Numbers:
    """Values, the first that is known in each row."""
    found = Numbers(np.zeros(len(block)), np.zeros(len(block), dtype=bool))
    for name in reversed(source.names):
        column = block.column(name)
        if not isinstance(column, Numbers):
            continue
        if column.known is None or (found.known is not None and not found.known.any()):
            found = column
        else:
            values = np.where(column.known, column.values, found.values)
            known = None if found.known is None else column.known | found.known
            found = Numbers(values, known)
    return found


def known_rows(block: Block, column: Numbers | Texts | None) -> Truths:
    """Rows that have a value."""
    if column is None:
        return np.zeros(len(block), dtype=bool)
    return np.ones(len(block), dtype=bool) if column.known is None else column.known


def texts_of(block: Block, source: Source) -> Texts | None:
    """Texts, or nothing where none is known."""
    column = block.column(source.names[0])
    return column if isinstance(column, Texts) else None


@dataclass(frozen=True)
class Matcher:
    """Where a filter holds.

    Parameters
    ----------
    expression
        Its tree, which has been found to make sense; ``None`` for everything.
    find
        Gives the property behind a name.
    predicted
        Whether models' values count for bare names.
    """

    expression: Expression | None
    find: Callable[[str], Field]
    predicted: bool

    def rows(self, block: Block) -> Truths:
        """Rows of a block that the filter selects and that still count."""
        selected = np.ones(len(block), dtype=bool)
        if self.expression is not None:
            selected = self._where(block, self.expression, wanted=True)
        return selected if block.current is None else selected & block.current

    def _where(self, block: Block, expression: Expression, *, wanted: bool) -> Truths:
        """Rows of which a filter is known to hold, or known to fail."""
        match expression:
            case Not(part):
                return self._where(block, part, wanted=not wanted)
            case And(parts) | Or(parts):
                if isinstance(expression, And) == wanted:
                    return self._everywhere(block, parts, wanted=wanted)
                return _any([self._where(block, part, wanted=wanted) for part in parts])
            case Has():
                return self._has(block, expression, wanted=wanted)
        found = self.find(expression.name)
        if found.kind == "none":
            told = isinstance(expression, Known) and expression.known is not wanted
            return np.full(len(block), told)
        match expression:
            case Known(_, asked):
                return _is(self._known(block, found), asked == wanted)
            case Compare(_, sign, constant):
                return self._compare(block, found, sign, typed(found, constant), wanted=wanted)
            case Match():
                return self._match(block, found, expression, wanted=wanted)
            case Length(_, sign, count):
                return _is(COMPARISONS[sign](_size(block, found), count), wanted)

    def _everywhere(self, block: Block, parts: Sequence[Expression], *, wanted: bool) -> Truths:
        """Rows where all parts hold, or all fail; the texts are read where the others leave any."""
        truths = np.ones(len(block), dtype=bool)
        for part in sorted(parts, key=self._reads_texts):
            truths = truths & self._where(block, part, wanted=wanted)
            if not truths.any():
                break
        return truths

    def _reads_texts(self, expression: Expression) -> bool:
        match expression:
            case And(parts) | Or(parts):
                return any(self._reads_texts(part) for part in parts)
            case Not(part):
                return self._reads_texts(part)
            case Has():
                return False
        return self.find(expression.name).kind == "string"

    def _known(self, block: Block, found: Field) -> Truths:
        if found.kind in ("strings", "integers") or found.name == "type":
            return np.ones(len(block), dtype=bool)
        source = source_of(found, predicted=self.predicted)
        column = texts_of(block, source) if source.textual else numbers_of(block, source)
        return known_rows(block, column)

    def _compare(
        self, block: Block, found: Field, sign: str, constant: Any, *, wanted: bool
    ) -> Truths:
        if found.name == "type":
            return np.full(len(block), COMPARISONS[sign](TYPE, constant) == wanted)
        source = source_of(found, predicted=self.predicted)
        if source.textual:
            texts = texts_of(block, source)
            holds = None if texts is None else texts.compared(sign, constant)
            return _told(block, texts, holds, wanted=wanted)
        numbers = numbers_of(block, source)
        told = _is(COMPARISONS[sign](numbers.values, constant), wanted)
        return told if numbers.known is None else told & numbers.known

    def _match(self, block: Block, found: Field, asked: Match, *, wanted: bool) -> Truths:
        if found.name == "type":
            return np.full(len(block), _type_matches(asked) == wanted)
        texts = texts_of(block, source_of(found, predicted=self.predicted))
        holds = None if texts is None else texts.matched(asked.where, asked.text)
        return _told(block, texts, holds, wanted=wanted)

    def _has(self, block: Block, asked: Has, *, wanted: bool) -> Truths:
        found = self.find(asked.names[0])
        values = [row[0][1] for row in asked.rows]
        if found.kind == "none":
            return np.zeros(len(block), dtype=bool)
        if found.name == "elements":
            return _is(_elements(block, asked.quantifier, [str(one) for one in values]), wanted)
        return _is(_short_list(block, found, asked.quantifier, values), wanted)


def _is(holds: Truths, wanted: bool) -> Truths:
    return holds if wanted else ~holds


def _all(truths: Sequence[Truths]) -> Truths:
    return reduce(operator.and_, truths)


def _any(truths: Sequence[Truths]) -> Truths:
    return reduce(operator.or_, truths)


def _type_matches(asked: Match) -> bool:
    if asked.where == "contains":
        return asked.text in TYPE
    return TYPE.startswith(asked.text) if asked.where == "starts" else TYPE.endswith(asked.text)


def _told(block: Block, texts: Texts | None, holds: Truths | None, *, wanted: bool) -> Truths:
    """Rows that are known and where a test of texts holds, or fails."""
    known = known_rows(block, texts)
    return known if holds is None else known & _is(holds, wanted)


_LISTS: Final = {
    "elements": "nelements", "structure_features": "disordered", "dimension_types": "dimensions",
}  # fmt: skip
"""The column that tells what there is to know of a list."""


def _whole(block: Block, name: str) -> Any:
    return numbers_of(block, Source((name,), textual=False)).values


def _size(block: Block, found: Field) -> Any:
    """Items of each row's list."""
    if found.name == "dimension_types":
        return np.full(len(block), ALL_DIMENSIONS)
    return _whole(block, _LISTS[found.name])


def _words(symbols: list[Any]) -> list[int]:
    """Which words of the masks hold these elements."""
    known = {NUMBER_OF[symbol] for symbol in symbols if symbol in NUMBER_OF}
    return sorted({number // _WORD_BITS for number in known})


def _elements(block: Block, quantifier: str, symbols: list[str]) -> Truths:
    """Sets of elements by bit mask."""
    known = {NUMBER_OF[symbol] for symbol in symbols if symbol in NUMBER_OF}
    if quantifier == "ALL" and any(symbol not in NUMBER_OF for symbol in symbols):
        return np.zeros(len(block), dtype=bool)
    words = range(2) if quantifier == "ONLY" else _words(symbols)
    truths = []
    for word in words:
        bits = sum(1 << (n % _WORD_BITS) for n in known if n // _WORD_BITS == word)
        mask = np.uint64(bits)
        there = np.asarray(_whole(block, ELEMENTS[word])).astype(np.int64).view(np.uint64)
        if quantifier == "ALL":
            truths.append((there & mask) == mask)
        else:
            truths.append((there & mask) != 0 if quantifier == "ANY" else (there & ~mask) == 0)
    if not truths:
        return np.zeros(len(block), dtype=bool)
    return _any(truths) if quantifier == "ANY" else _all(truths)


def _short_list(block: Block, found: Field, quantifier: str, values: list[Any]) -> Truths:
    """Lists with few possible items, each item a condition of its own."""
    column = _whole(block, _LISTS[found.name])
    items: dict[Any, Truths] = (
        {"disorder": column > 0}
        if found.name == "structure_features"
        else {1: column > 0, 0: column < ALL_DIMENSIONS}
    )
    nothing = np.zeros(len(block), dtype=bool)
    present = [items.get(typed(found, value), nothing) for value in values]
    if quantifier == "ALL":
        return _all(present)
    if quantifier == "ANY":
        return _any(present)
    others = [~truth for item, truth in items.items() if item not in values]
    return _all([~nothing, *others])
