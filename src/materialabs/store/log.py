"""The log inside the database: appended in the very transaction that stores what it speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select

from materialabs.errors import IntegrityError, NotFound
from materialabs.ledger.entries import LogEntry
from materialabs.ledger.keyring import Keyring
from materialabs.ledger.merkle import (
    HASH_SIZE,
    TILE_HEIGHT,
    TILE_WIDTH,
    Frontier,
    complete_root,
    leaf_hash,
)
from materialabs.ledger.notes import Checkpoint, Signer
from materialabs.store.rows import insert_rows
from materialabs.store.schema import (
    log_checkpoints,
    log_entries,
    log_hashes,
    mirrored_entries,
    mirrored_hashes,
)


@dataclass(frozen=True)
class LogTables:
    """Where one log's entries and hashes stand.

    Parameters
    ----------
    entries, hashes
        Their tables.
    number
        Which of the mirrored logs; ``None`` for the store's own.
    """

    entries: Table
    hashes: Table
    number: int | None = None

    def of(self, table: Table) -> list[Any]:
        """Conditions that select this log's rows of a table that holds several logs."""
        return [] if self.number is None else [table.c.log_id == self.number]

    def key(self) -> dict[str, int]:
        """What this log's rows carry beside their own columns."""
        return {} if self.number is None else {"log_id": self.number}


OWN = LogTables(log_entries, log_hashes)
"""The store's own log."""


def mirrored(number: int) -> LogTables:
    """Another node's log, kept beside the own."""
    return LogTables(mirrored_entries, mirrored_hashes, number)


@dataclass(frozen=True)
class LogState:
    """The right edge of the log: its frontier and its last signed checkpoint."""

    frontier: Frontier
    note: str


def read_state(connection: Connection) -> LogState:
    """The log as of the last commit; empty before the first."""
    row = connection.execute(
        select(log_checkpoints).order_by(log_checkpoints.c.size.desc()).limit(1)
    ).one_or_none()
    if row is None:
        return LogState(Frontier(), "")
    return LogState(read_frontier(int(row.size), bytes(row.peaks)), row.note)


def read_frontier(size: int, peaks: bytes) -> Frontier:
    """A right edge from its stored form."""
    parts = [peaks[i : i + HASH_SIZE] for i in range(0, len(peaks), HASH_SIZE)]
    if len(parts) != size.bit_count() or any(len(part) != HASH_SIZE for part in parts):
        raise IntegrityError(f"The log's right edge at {size} entries is damaged.")
    return Frontier(size, parts)


def append(connection: Connection, entries: Sequence[LogEntry], signer: Signer) -> LogState:
    """Append entries, sign the new checkpoint, and give the new state; the caller commits."""
    state = read_state(connection)
    if not entries:
        return state
    frontier = state.frontier.copy()
    keep_entries(connection, OWN, frontier, entries)
    connection.execute(delete(log_checkpoints))
    note = str(Checkpoint(signer.name, frontier.size, frontier.root()).note([signer]))
    connection.execute(
        insert(log_checkpoints).values(
            size=frontier.size, peaks=b"".join(frontier.peaks), note=note
        )
    )
    return LogState(frontier, note)


def keep_entries(
    connection: Connection, log: LogTables, frontier: Frontier, entries: Sequence[LogEntry]
) -> None:
    """Store entries behind a right edge, and move the edge."""
    first = frontier.size
    leaves = [entry.to_leaf() for entry in entries]
    insert_rows(
        connection,
        log.entries,
        [
            log.key() | _row(first + offset, entry, leaf)
            for offset, (entry, leaf) in enumerate(zip(entries, leaves, strict=True))
        ],
    )
    hashes = [leaf_hash(leaf) for leaf in leaves]
    frontier.extend(hashes)
    _keep_subtrees(connection, log, first, hashes)


def _row(position: int, entry: LogEntry, leaf: bytes) -> dict[str, Any]:
    return {
        "position": position,
        "leaf": leaf,
        "record_hash": bytes.fromhex(entry.record) if entry.record else None,
        "contributor": entry.contributor,
    }


def _keep_subtrees(
    connection: Connection, log: LogTables, first: int, hashes: Sequence[bytes]
) -> None:
    """Store the roots of the subtrees of 256, 65,536, ... leaves that these leaves complete."""
    reader = DatabaseHashes(connection, log)
    start = first - first % TILE_WIDTH
    current = [*reader.read(0, start, first), *hashes]
    level, number = 0, start // TILE_WIDTH
    while len(current) >= TILE_WIDTH:
        whole = len(current) // TILE_WIDTH
        roots = [
            complete_root(current[i * TILE_WIDTH : (i + 1) * TILE_WIDTH]) for i in range(whole)
        ]
        level += TILE_HEIGHT
        insert_rows(
            connection,
            log.hashes,
            [
                log.key() | {"level": level, "number": number + place, "hash": root}
                for place, root in enumerate(roots)
            ],
        )
        start = number - number % TILE_WIDTH
        current = [*reader.read(level, start, number), *roots]
        number = start // TILE_WIDTH


class DatabaseHashes:
    """Hashes of a log's tree, read from the database (a :class:`HashReader`)."""

    def __init__(self, connection: Connection, log: LogTables = OWN) -> None:
        self._connection = connection
        self._log = log

    def read(self, level: int, start: int, stop: int) -> Sequence[bytes]:
        """Hashes ``start`` to ``stop`` of level 0, 8, 16, ..."""
        if start >= stop:
            return []
        if level == 0:
            leaves = read_leaves(self._connection, start, stop, self._log)
            return [leaf_hash(leaf) for leaf in leaves]
        table = self._log.hashes
        rows = self._connection.execute(
            select(table.c.hash)
            .where(table.c.level == level, table.c.number.between(start, stop - 1))
            .where(*self._log.of(table))
            .order_by(table.c.number)
        )
        return [bytes(row.hash) for row in rows]


def read_leaves(connection: Connection, start: int, stop: int, log: LogTables = OWN) -> list[bytes]:
    """The leaves at these positions; a gap is an error."""
    table = log.entries
    rows = connection.execute(
        select(table.c.leaf)
        .where(table.c.position.between(start, stop - 1))
        .where(*log.of(table))
        .order_by(table.c.position)
    )
    leaves = [bytes(row.leaf) for row in rows]
    if len(leaves) != stop - start:
        raise IntegrityError(f"Entries of the log are missing between {start} and {stop}.")
    return leaves


def read_keyring(connection: Connection, authority: bytes, log: LogTables = OWN) -> Keyring:
    """The keys of a log, from the entries that speak of keys."""
    ring = Keyring(authority)
    table = log.entries
    rows = connection.execute(
        select(table.c.position, table.c.leaf)
        .where(table.c.record_hash.is_(None))
        .where(*log.of(table))
        .order_by(table.c.position)
    )
    for row in rows:
        ring.admit(int(row.position), LogEntry.parse(bytes(row.leaf)))
    return ring


def newest_key_entry(connection: Connection) -> int:
    """Where the own log last spoke of a key; -1 where it never did."""
    found = connection.execute(
        select(func.max(log_entries.c.position)).where(log_entries.c.record_hash.is_(None))
    ).scalar_one()
    return -1 if found is None else int(found)


def positions_of(connection: Connection, record: bytes) -> list[int]:
    """Where the log speaks of a record."""
    rows = connection.execute(
        select(log_entries.c.position)
        .where(log_entries.c.record_hash == record)
        .order_by(log_entries.c.position)
    )
    found = [int(row.position) for row in rows]
    if not found:
        raise NotFound(f"The log holds no record {record.hex()}.")
    return found
