"""The first rows of a block by some sort keys, without sorting the others.

A key is a series of numbers for each row: whether it is unknown, then its value, or its text eight
bytes at a time. Rows that a number leaves undecided are decided by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialabs.store.blocks.encoding import Column, Numbers, Truths, listed
from materialabs.store.blocks.matching import Source, known_rows, numbers_of, texts_of
from materialabs.store.blocks.reading import Block
from materialabs.store.blocks.texts import Texts

Rows = NDArray[np.intp]
Level = Callable[[Rows], NDArray[Any]]
Ranked = tuple[list[Any], int]
"""A crystal's values of the sort keys, and its number."""


@dataclass(frozen=True)
class Key:
    """One property to sort by.

    Parameters
    ----------
    source
        Columns that it stands in; ``None`` for what is the same everywhere.
    constant
        What that is.
    descending
        Whether large values come first; unknown ones come last in any case.
    """

    source: Source | None
    descending: bool
    constant: Any = None

    def levels(self, block: Block) -> Iterator[Level]:
        """Numbers that sort a block's rows, each deciding what the one before left open."""
        if self.source is None:
            return
        if not self.source.textual:
            numbers = numbers_of(block, self.source)
            if numbers.known is not None:
                known = numbers.known
                yield lambda rows: ~known[rows]
            yield partial(self._values, numbers)
            return
        texts = texts_of(block, self.source)
        if texts is None:
            return
        if texts.known is not None:
            there = texts.known
            yield lambda rows: ~there[rows]
        for depth in range(texts.depth):
            yield partial(self._words, texts, depth)

    def _values(self, numbers: Numbers, rows: Rows) -> NDArray[Any]:
        values = -numbers.values[rows] if self.descending else numbers.values[rows]
        return values if numbers.known is None else np.where(numbers.known[rows], values, 0)

    def _words(self, texts: Texts, depth: int, rows: Rows) -> NDArray[np.uint64]:
        words = texts.words(depth, rows)
        if self.descending:
            words = ~words
        return words if texts.known is None else np.where(texts.known[rows], words, np.uint64(0))

    def values(self, block: Block, rows: Rows) -> list[Any]:
        """Values of some rows, ``None`` where unknown."""
        if self.source is None:
            return [self.constant] * len(rows)
        column = self._column(block)
        return [None] * len(rows) if column is None else listed(column, rows)

    def _column(self, block: Block) -> Column | None:
        if self.source is None:
            return None
        return (texts_of if self.source.textual else numbers_of)(block, self.source)

    def behind(self, block: Block, mark: Any, reached: Truths) -> Truths:
        """Rows behind a value, or at it where the later keys have ``reached`` beyond theirs."""
        column = self._column(block)
        if self.source is None:
            return reached
        known = known_rows(block, column)
        if mark is None or column is None:
            return ~known & reached if mark is None else ~known
        order = column.order(mark) if isinstance(column, Texts) else np.sign(column.values - mark)
        if self.descending:
            order = -order
        beyond: Truths = ~known | (order > 0) | ((order == 0) & reached)
        return beyond


def first_rows(keys: Sequence[Key], block: Block, rows: Rows, count: int) -> Rows:
    """The first rows by the keys and then by number, in no order; all where there are few."""
    return _first((level for key in keys for level in key.levels(block)), rows, count)


def _first(levels: Iterator[Level], rows: Rows, count: int) -> Rows:
    if len(rows) <= count:
        return rows
    level = next(levels, None)
    if level is None:
        return rows[:count]
    values = level(rows)
    threshold = np.partition(values, count - 1)[count - 1]
    sure = rows[values < threshold]
    return np.concatenate([sure, _first(levels, rows[values == threshold], count - len(sure))])


def rows_behind(keys: Sequence[Key], block: Block, marks: Sequence[Any], last: int) -> Truths:
    """Rows behind a crystal with these values and this number."""
    reached: Truths = block.ids > last
    for key, mark in zip(reversed(keys), reversed(marks), strict=True):
        reached = key.behind(block, mark, reached)
    return reached


def ranked(keys: Sequence[Key], block: Block, rows: Rows) -> list[Ranked]:
    """Values of the keys and numbers of some rows."""
    columns = [key.values(block, rows) for key in keys]
    numbers = block.ids[rows].tolist()
    return [([column[place] for column in columns], number) for place, number in enumerate(numbers)]


def in_order(keys: Sequence[Key], found: list[Ranked]) -> list[Ranked]:
    """Crystals sorted by the keys, unknown values last, and then by number."""
    listing = sorted(found, key=lambda one: one[1])
    for place in reversed(range(len(keys))):
        known = [one for one in listing if one[0][place] is not None]
        unknown = [one for one in listing if one[0][place] is None]
        known.sort(key=lambda one: one[0][place], reverse=keys[place].descending)
        listing = known + unknown
    return listing
