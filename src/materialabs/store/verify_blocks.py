"""Make the blocks of columns again from the rows, and compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from materialabs.store import schema
from materialabs.store.blocks.contents import BLOCK, block_contents
from materialabs.store.blocks.encoding import DAMAGE, SAME, decode, decode_numbers, listed
from materialabs.store.blocks.reading import IDS, changed_ids, packed_until
from materialabs.store.verify_log import raw

Found = Iterator[tuple[str, str]]


def block_problems(connection: Connection) -> Found:
    """(place, sentence) for every block that is not what its rows make, but for changed rows."""
    table = schema.structure_blocks
    stop = packed_until(connection)
    last = connection.execute(select(func.max(table.c.block))).scalar_one()
    first = connection.execute(select(func.min(table.c.block))).scalar_one()
    numbers = range(-(-stop // BLOCK))
    for odd in {first, last} - {None} - set(numbers):
        yield f"block {odd}", f"There is a block {odd} of columns that no crystals stand in."
    changed = changed_ids(connection)
    for number in numbers:
        yield from _problems(connection, number, stop, set(changed.tolist()))


def _problems(connection: Connection, number: int, stop: int, changed: set[int]) -> Found:
    table = schema.structure_blocks
    first, last = number * BLOCK + 1, min(stop, (number + 1) * BLOCK)
    rows = connection.execute(select(table).where(table.c.block == number)).all()
    stored = {str(row.name): raw(row.content) for row in rows}
    for row in rows:
        if row.stop != last:
            yield f"block {number}", f"The end of block {number}, column {row.name}, was changed."
            return
    expected = block_contents(connection, first, last)
    if stored == expected:
        return
    outdated = {one for one in changed if first <= one <= last}
    differing = sorted(
        name for name in stored.keys() | expected.keys() if stored.get(name) != expected.get(name)
    )
    try:
        found, wanted = _values(stored), _values(expected)
    except DAMAGE:
        yield _changed(number, differing[0])
        return
    for name in differing:
        here, there = found.get(name, {}), wanted.get(name, {})
        ids = sorted((here.keys() | there.keys()) - outdated)
        wrong = [one for one in ids if here.get(one) != there.get(one)]
        if wrong:
            yield _changed(number, name, _crystal(connection, wrong[0]))
            return
    if not outdated:
        yield _changed(number, differing[0])


def _changed(number: int, column: str, of: str = "") -> tuple[str, str]:
    place = f"block {number}, column {column}{of}"
    return place, f"The column {column} of block {number} is not what its rows say{of}."


def _crystal(connection: Connection, number: int) -> str:
    table = schema.structures
    name = connection.execute(select(table.c.name).where(table.c.id == number)).scalar_one_or_none()
    return f", first at crystal {name or f'number {number}'}"


def _values(contents: Mapping[str, bytes]) -> dict[str, dict[int, Any]]:
    """Values of each column by the numbers of the crystals that have one."""
    ids = decode_numbers(contents[IDS]).tolist()
    rows = np.arange(len(ids))
    found = {}
    for name, content in contents.items():
        twin = content[len(SAME) :].decode() if content.startswith(SAME) else name
        values = listed(decode(contents[twin], len(ids)), rows)
        pairs = zip(ids, values, strict=True)
        found[name] = {one: value for one, value in pairs if value is not None}
    return found
