"""Other pasts of a store's log, signed with its own key: what a dishonest owner could show."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import delete

from materialabs.ledger.entries import LogEntry, record_entry
from materialabs.store import schema
from materialabs.store.database import writing
from materialabs.store.log import append
from materialabs.store.store import Store


def copy_store(store: Store, place: Path) -> Store:
    """A copy of a SQLite store that signs with the same keys."""
    with store.engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(store.place, place)
    return Store(place, keys=store.keys)


def rewrite_log(store: Store, entries: Sequence[LogEntry]) -> None:
    """Let the log hold these entries from the start, with right hashes and a right signature."""
    signer = store.identity.signer
    with writing(store.engine) as connection:
        for table in (schema.log_entries, schema.log_hashes, schema.log_checkpoints):
            connection.execute(delete(table))
        append(connection, entries, signer)


def with_rewritten_entry(store: Store, place: Path, index: int) -> Store:
    """The same log with one entry signed anew, at another time."""
    liar = copy_store(store, place)
    entries = list(liar.entries())
    entries[index] = record_entry(
        entries[index].record, liar.identity.contributor, "2020-01-01T00:00:00.000000Z"
    )
    rewrite_log(liar, entries)
    return liar


def with_dropped_entry(store: Store, place: Path, index: int) -> Store:
    """The same log without one of its entries."""
    liar = copy_store(store, place)
    entries = list(liar.entries())
    rewrite_log(liar, entries[:index] + entries[index + 1 :])
    return liar
