"""Read blocks of columns from a store, only the columns that are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from materialabs.errors import IntegrityError
from materialabs.store import schema
from materialabs.store.blocks.contents import BLOCK
from materialabs.store.blocks.encoding import (
    DAMAGE,
    SAME,
    Column,
    Truths,
    decode,
    decode_numbers,
)

TOGETHER: Final = 32
"""Blocks whose columns are read in one statement: 4 MB of decimals."""

IDS: Final = "id"
"""The column that tells which crystals a block holds."""


class Chunk:
    """Some blocks in a row, whose columns are read together when one of them is first asked for.

    Parameters
    ----------
    connection
        Inside a transaction.
    start, stop
        The first block and the one behind the last.
    """

    def __init__(self, connection: Connection, start: int, stop: int) -> None:
        self._connection = connection
        self._start, self._stop = start, stop
        self._columns: dict[str, dict[int, bytes]] = {}

    def content(self, number: int, name: str) -> bytes | None:
        """A column of a block as it is stored; ``None`` where nothing is known of any crystal."""
        if name not in self._columns:
            self._columns[name] = self._read(name)
        content = self._columns[name].get(number)
        if content is not None and content.startswith(SAME):
            return self.content(number, content[len(SAME) :].decode())
        return content

    def _read(self, name: str) -> dict[int, bytes]:
        table = schema.structure_blocks
        rows = self._connection.execute(
            select(table.c.block, table.c.content).where(
                table.c.name == name, table.c.block >= self._start, table.c.block < self._stop
            )
        )
        return {number: bytes(content) for number, content in rows}


class Block:
    """Columns of a range of crystals.

    Parameters
    ----------
    chunk, number
        Where its columns are read.
    changed
        Numbers of crystals that have changed since; their rows do not count.
    """

    def __init__(self, chunk: Chunk, number: int, changed: NDArray[np.int64]) -> None:
        self._chunk, self._number = chunk, number
        self._changed = changed
        self._columns: dict[str, Column | None] = {}

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """Numbers of the crystals, rising."""
        content = self._chunk.content(self._number, IDS)
        try:
            ids: NDArray[np.int64] = decode_numbers(content or b"")
        except DAMAGE as error:
            raise self._damaged() from error
        return ids

    @cached_property
    def current(self) -> Truths | None:
        """Which rows still count; ``None`` where all do."""
        if not len(self._changed) or not len(self.ids):
            return None
        start, stop = np.searchsorted(self._changed, [self.ids[0], self.ids[-1] + 1])
        if start == stop:
            return None
        return ~np.isin(self.ids, self._changed[start:stop])

    @cached_property
    def _size(self) -> int:
        return len(self.ids)

    def __len__(self) -> int:
        return self._size

    def column(self, name: str) -> Column | None:
        """A column; ``None`` where nothing is known of any crystal."""
        if name not in self._columns:
            try:
                content = self._chunk.content(self._number, name)
                self._columns[name] = None if content is None else decode(content, len(self))
            except DAMAGE as error:
                raise self._damaged() from error
        return self._columns[name]

    def _damaged(self) -> IntegrityError:
        return IntegrityError(
            f"Block {self._number} of the store's columns is damaged: `materialabs ledger verify` "
            "tells what was changed."
        )


def packed_until(connection: Connection) -> int:
    """The number up to which crystals stand in blocks; 0 where there are none."""
    table = schema.structure_blocks
    found = connection.execute(
        select(table.c.stop).where(table.c.name == IDS).order_by(table.c.block.desc()).limit(1)
    ).scalar_one_or_none()
    return 0 if found is None else int(found)


def changed_ids(connection: Connection) -> NDArray[np.int64]:
    """Numbers of the crystals whose rows in blocks are out of date, rising."""
    table = schema.structure_changes
    rows = connection.execute(select(table.c.id).order_by(table.c.id))
    return np.array([row[0] for row in rows], dtype=np.int64)


def read_blocks(connection: Connection, after: int, changed: NDArray[np.int64]) -> Iterator[Block]:
    """Blocks from the one with the next crystal after a number."""
    last = (packed_until(connection) - 1) // BLOCK
    for start in range(max(after, 0) // BLOCK, last + 1, TOGETHER):
        stop = min(start + TOGETHER, last + 1)
        chunk = Chunk(connection, start, stop)
        for number in range(start, stop):
            yield Block(chunk, number, changed)
