"""Add observed crystals to a store; what it holds already costs next to nothing.

Symmetry and signatures are most of the work of storing a crystal. A command that is run again asks
the log first which of its records are there, and prepares only the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from sqlalchemy import Column, Connection, select

from materialabs.crystals.batch import Crystals
from materialabs.store import schema
from materialabs.store.database import reading, writing
from materialabs.store.log import read_state
from materialabs.store.observations import prepare_crystals, prepare_record
from materialabs.store.records import Record
from materialabs.store.rows import chunks
from materialabs.store.store import Store
from materialabs.store.writer import Written


def add_observed(
    store: Store,
    crystals: Crystals,
    records: Sequence[Record],
    blobs: dict[bytes, bytes] | None = None,
    *,
    licence: str = "",
    also: Callable[[Connection], None] | None = None,
) -> Written:
    """Store crystals, each with its record, in one transaction.

    Parameters
    ----------
    store
        Where to.
    crystals, records
        As many of one as of the other (:func:`~materialabs.store.observations.records_of`).
    blobs
        Large values by their SHA-256.
    licence
        Under which they are given.
    also
        What else belongs to the transaction; it is done where nothing is new, too.
    """
    fresh, size = _fresh(store, records)
    if not fresh:
        if also is not None:
            with writing(store.engine) as connection:
                also(connection)
        return Written(0, 0, len(records), size)
    chosen = crystals if len(fresh) == len(crystals) else crystals[np.array(fresh)]
    signer = store.identity.contributor
    signed = [prepare_record(records[place], signer, licence=licence) for place in fresh]
    done = store.commit(prepare_crystals(chosen), signed, blobs or {}, also)
    return replace(done, known=done.known + len(records) - len(fresh))


def _fresh(store: Store, records: Sequence[Record]) -> tuple[list[int], int]:
    """Places of the records that the log does not speak of, and the log's size.

    A record whose crystal is new is new itself, so that only the others need their ids.
    """
    with reading(store.engine) as connection:
        size = read_state(connection).frontier.size
        wanted = {bytes.fromhex(record.crystal) for record in records}
        known = _among(connection, schema.crystals.c.hash, wanted)
        names = {
            place: bytes.fromhex(record.id)
            for place, record in enumerate(records)
            if bytes.fromhex(record.crystal) in known
        }
        listed = _among(connection, schema.log_entries.c.record_hash, set(names.values()))
    return [place for place in range(len(records)) if names.get(place) not in listed], size


def _among(connection: Connection, column: Column[bytes], wanted: set[bytes]) -> set[bytes]:
    """Which of these values a column holds."""
    found: set[bytes] = set()
    for chunk in chunks(sorted(wanted)):
        rows = connection.execute(select(column).where(column.in_(chunk)))
        found |= {bytes(row[0]) for row in rows}
    return found
