"""Search a store through its blocks of columns, and the few rows that stand in none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from sqlalchemy import ColumnElement, Connection, select, union_all

from materialabs.store import schema
from materialabs.store.blocks.matching import Matcher
from materialabs.store.blocks.ordering import (
    Key,
    Ranked,
    first_rows,
    in_order,
    ranked,
    rows_behind,
)
from materialabs.store.blocks.reading import changed_ids, read_blocks

SPARE: Final = 2
"""Pages of candidates that are kept before all but the first page are let go."""

RankRows = Callable[[Connection, ColumnElement[bool] | None, list[Any] | None, int], list[Ranked]]
CountRows = Callable[[Connection, ColumnElement[bool]], int]


class BlockSearch:
    """A search through a store's blocks.

    Parameters
    ----------
    connection
        Inside a transaction.
    matcher, keys
        The filter and what to sort by.
    stop
        The number up to which crystals stand in blocks.
    rank_rows, count_rows
        The same search in SQL, for the rows that blocks do not hold.
    """

    def __init__(
        self,
        connection: Connection,
        matcher: Matcher,
        keys: Sequence[Key],
        stop: int,
        rank_rows: RankRows,
        count_rows: CountRows,
    ) -> None:
        self._connection = connection
        self._matcher = matcher
        self._keys = keys
        self._changed = changed_ids(connection)
        self._rank_rows, self._count_rows = rank_rows, count_rows
        table, changes = schema.structures, schema.structure_changes
        # A list of numbers, so that the database begins with these and not with an index.
        self._outside = table.c.id.in_(
            union_all(select(table.c.id).where(table.c.id > stop), select(changes.c.id))
        )
        self.counted = 0

    def count(self) -> int:
        """How many structures the filter selects."""
        found = self._count_rows(self._connection, self._outside)
        for block in read_blocks(self._connection, 0, self._changed):
            found += int(np.count_nonzero(self._matcher.rows(block)))
        return found

    def page(self, size: int, marks: list[Any] | None, *, counting: bool) -> list[Ranked]:
        """The first structures behind a cursor, in order; counts all of them where wanted.

        Parameters
        ----------
        size
            Structures at most.
        marks
            Values of the keys and the number of the structure before.
        counting
            Whether to go through all blocks, so that :attr:`counted` tells how many there are.
        """
        connection, keys = self._connection, self._keys
        found = self._rank_rows(connection, self._outside, marks, size)
        self.counted = self._count_rows(connection, self._outside) if counting else 0
        after = 0 if counting or keys or marks is None else marks[-1]
        inside, worst = 0, None
        for block in read_blocks(connection, after, self._changed):
            rows = self._matcher.rows(block)
            if counting:
                self.counted += int(np.count_nonzero(rows))
            if keys or inside < size:
                if marks is not None:
                    rows = rows & rows_behind(keys, block, marks[:-1], marks[-1])
                if worst is not None:
                    rows = rows & ~rows_behind(keys, block, *worst)
                chosen = first_rows(keys, block, np.flatnonzero(rows), size)
                inside += len(chosen)
                found += ranked(keys, block, chosen)
            elif not counting:
                break
            if len(found) > SPARE * size:
                found = in_order(keys, found)[:size]
                worst = found[-1]
        return in_order(keys, found)[:size]
