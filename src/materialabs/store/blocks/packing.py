"""Keep the blocks of columns up with the wide rows.

Crystals join a block when there are enough of them; until then, and from the moment that their rows
change until their block is made again, queries read the rows themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from sqlalchemy import Connection, delete, func, select

from materialabs.store import schema
from materialabs.store.blocks.contents import BLOCK, block_contents
from materialabs.store.blocks.reading import changed_ids, packed_until
from materialabs.store.rows import chunks, insert_rows

LEAST: Final = 2_000
"""Crystals outside the blocks that are worth a block of their own when a store is closed."""

MOST_CHANGED: Final = 8_000
"""Changed crystals that queries look at one by one before blocks are made again."""

BLOCKS_AT_ONCE: Final = 4
"""Made again in one transaction of a writer: about half a second."""


def mark_changed(connection: Connection, ids: Iterable[int]) -> None:
    """Let queries look at these crystals' rows, not at their blocks."""
    stop = packed_until(connection)
    inside = sorted(number for number in set(ids) if number <= stop)
    table = schema.structure_changes
    for chunk in chunks(inside):
        rows = connection.execute(select(table.c.id).where(table.c.id.in_(chunk)))
        known = {row.id for row in rows}
        insert_rows(connection, table, [{"id": one} for one in chunk if one not in known])


def pack_full(connection: Connection) -> None:
    """Make the blocks that have become full, and some of those that changed much."""
    _append(connection, BLOCK)
    _renew(connection, BLOCKS_AT_ONCE, MOST_CHANGED)


def pack_all(connection: Connection) -> None:
    """Bring the blocks up to date but for a few crystals."""
    _append(connection, LEAST)
    _renew(connection, None, LEAST)


def renew_block(connection: Connection, crystal: int) -> None:
    """Make the block that holds a crystal again, so that nothing of an earlier row is left."""
    if crystal <= packed_until(connection):
        _write(connection, (crystal - 1) // BLOCK)


def _append(connection: Connection, least: int) -> None:
    """Make blocks of the crystals behind the last one, where they are at least so many."""
    stop = packed_until(connection)
    found = connection.execute(select(func.max(schema.structures.c.id))).scalar_one()
    largest = 0 if found is None else int(found)
    full = largest // BLOCK
    for number in range(stop // BLOCK, full):
        _write(connection, number)
    if largest - max(stop, full * BLOCK) >= least:
        _write(connection, full)


def _renew(connection: Connection, blocks: int | None, most: int) -> None:
    """Make blocks again, those with the most changes first, until few changes are left."""
    numbers, counts = np.unique((changed_ids(connection) - 1) // BLOCK, return_counts=True)
    left = int(counts.sum())
    for place in np.argsort(-counts, kind="stable")[:blocks].tolist():
        if left <= most:
            return
        _write(connection, int(numbers[place]))
        left -= int(counts[place])


def _write(connection: Connection, number: int) -> None:
    """Make one block from the rows as they are."""
    table, changes = schema.structure_blocks, schema.structure_changes
    first, last = number * BLOCK + 1, (number + 1) * BLOCK
    found = connection.execute(select(func.max(schema.structures.c.id))).scalar_one()
    stop = min(last, max(int(found or 0), packed_until(connection)))
    connection.execute(delete(table).where(table.c.block == number))
    connection.execute(delete(changes).where(changes.c.id.between(first, last)))
    columns = block_contents(connection, first, stop)
    rows = [
        {"name": name, "block": number, "stop": stop, "content": content}
        for name, content in columns.items()
    ]
    insert_rows(connection, table, rows)
