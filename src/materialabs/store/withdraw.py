"""Withdraw a record: a tombstone in the log, its content gone, everything else still verified."""

from __future__ import annotations

from sqlalchemy import Connection, select

from materialabs.errors import InputError, NotFound
from materialabs.ledger.entries import LogEntry, signed_entry
from materialabs.ledger.keyring import Keyring
from materialabs.ledger.keys import ContributorKey
from materialabs.store.database import writing
from materialabs.store.forget import forget
from materialabs.store.identity import Identity
from materialabs.store.log import OWN, LogTables, append, read_keyring, read_state
from materialabs.store.store import Store

LONGEST_REASON = 1000
"""Characters of the sentence that says why a record was withdrawn; it stays for ever."""


def withdraw(store: Store, record: str, reason: str) -> LogEntry:
    """Withdraw a record of this store's log; its id and who signed it stay in the log.

    The tombstone is signed by the user's own key where that key, or one that it came from by
    rotation, signed the record; otherwise by the log's key.

    Parameters
    ----------
    store
        Whose log holds the record.
    record
        Its id.
    reason
        Why, in one line that everybody may read.

    Returns
    -------
    LogEntry
        The tombstone.
    """
    check_reason(reason)
    name = record_name(record)
    identity = store.identity
    with writing(store.engine) as connection:
        ring = read_keyring(connection, identity.log.public)
        authors = authors_of(connection, name, read_state(connection).frontier.size)
        if not authors:
            raise NotFound(
                f"This store's own log holds no record {record}: ask the node that has it."
            )
        signer = _signer(identity, ring, authors, read_state(connection).frontier.size)
        entry = signed_entry("tombstone", {"reason": reason, "record": record}, signer)
        bury(connection, ring, entry, identity)
    store.publish()
    scrub(store)
    return entry


def bury(connection: Connection, ring: Keyring, entry: LogEntry, identity: Identity) -> None:
    """Append a signed tombstone to the own log and forget the record; the caller commits."""
    check_reason(entry.fields["reason"])
    name = record_name(entry.record)
    index = read_state(connection).frontier.size
    ring.admit(index, entry)
    ring.require_author(index, entry, authors_of(connection, name, index))
    if is_buried(connection, name):
        raise InputError(f"The record {entry.record} was withdrawn before.")
    append(connection, [entry], identity.signer)
    forget(connection, name)


def check_reason(reason: str) -> None:
    """Refuse a reason that is empty, too long, or more than one line."""
    if not reason.strip() or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise InputError(f"Say why in one line of at most {LONGEST_REASON} characters.")


def record_name(record: str) -> bytes:
    """The SHA-256 behind a record's id."""
    try:
        name = bytes.fromhex(record)
    except ValueError as error:
        raise NotFound(f"{record[:80]!r} is not the id of a record.") from error
    if len(name) != 32:
        raise NotFound(f"{record[:80]!r} is not the id of a record.")
    return name


def authors_of(connection: Connection, name: bytes, before: int, log: LogTables = OWN) -> list[str]:
    """Ids of the keys that signed a record in a log before some place."""
    return [
        entry.contributor
        for entry in _entries_of(connection, name, log, before)
        if entry.kind == "record"
    ]


def is_buried(connection: Connection, name: bytes, log: LogTables = OWN) -> bool:
    """Whether a log holds a tombstone of a record."""
    return any(entry.kind == "tombstone" for entry in _entries_of(connection, name, log, None))


def _entries_of(
    connection: Connection, name: bytes, log: LogTables, before: int | None
) -> list[LogEntry]:
    table = log.entries
    query = select(table.c.leaf).where(table.c.record_hash == name, *log.of(table))
    if before is not None:
        query = query.where(table.c.position < before)
    rows = connection.execute(query.order_by(table.c.position))
    return [LogEntry.parse(bytes(row.leaf)) for row in rows]


def _signer(identity: Identity, ring: Keyring, authors: list[str], index: int) -> ContributorKey:
    """The contributor's key where it may speak for the record, otherwise the log's."""
    own = ring.keys.get(identity.contributor.id)
    lines = {ring.keys[one].line for one in authors if one in ring.keys}
    if own is not None and own.counts_at(index) and own.line in lines:
        return identity.contributor
    return identity.log


def scrub(store: Store) -> None:
    """Write over what SQLite's write-ahead log still holds of removed content."""
    if store.engine.dialect.name == "sqlite":
        with store.engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
