"""Bring a store that an older version made up to date: indexes and derived tables, never records.

Each step is one function from a version to the next; all that are needed run in the transaction
that opens the store, so that a store is of one version or of another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, text

from materialabs.errors import IntegrityError
from materialabs.store.blocks.packing import pack_all
from materialabs.store.schema import (
    DATABASE_VERSION,
    property_values,
    structure_blocks,
    structure_changes,
    structures,
)

Step = Callable[[Connection], None]


def migrate(connection: Connection, found: str | None) -> bool:
    """Run the steps from a version to this program's; tells whether there were any.

    Raises
    ------
    IntegrityError
        Where the store is newer than the program, or of no version at all.
    """
    version = int(found) if found is not None and found.isascii() and found.isdecimal() else 0
    if version == DATABASE_VERSION:
        return False
    if version not in STEPS:
        raise IntegrityError(
            f"The store has version {found} and this program knows {DATABASE_VERSION}: "
            "use the version of materialabs that wrote it, or a newer one."
        )
    for step in range(version, DATABASE_VERSION):
        STEPS[step](connection)
    return True


def _cover_filters(connection: Connection) -> None:
    """From 1 to 2: indexes that hold what filters ask for beside elements and in scans."""
    connection.execute(text("DROP INDEX IF EXISTS structures_by_system"))
    for index in sorted(structures.indexes, key=lambda one: str(one.name)):
        index.create(connection, checkfirst=True)


REPLACED: Final = ("gap", "band_gap", "size", "system", "anonymous", "group", "hull")
"""Indexes on structures that blocks of columns stand in for, or that hold less now."""


def _pack_columns(connection: Connection) -> None:
    """From 2 to 3: blocks of columns instead of an index for each thing that is asked."""
    for name in REPLACED:
        connection.execute(text(f"DROP INDEX IF EXISTS structures_by_{name}"))
    connection.execute(text("DROP INDEX IF EXISTS structures_scanned"))
    connection.execute(text("DROP INDEX IF EXISTS property_values_by_number"))
    for table in (structure_blocks, structure_changes):
        table.create(connection, checkfirst=True)
    for index in (*structures.indexes, *property_values.indexes):
        index.create(connection, checkfirst=True)
    pack_all(connection)


STEPS: Final[dict[int, Step]] = {1: _cover_filters, 2: _pack_columns}
"""By the version that they begin with."""
