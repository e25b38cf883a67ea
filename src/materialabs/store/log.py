"""The log inside the database: appended in the very transaction that stores what it speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from materialabs.errors import IntegrityError, NotFound
from materialabs.ledger.entries import LogEntry
from materialabs.ledger.merkle import (
    HASH_SIZE,
    TILE_HEIGHT,
    TILE_WIDTH,
    Frontier,
    complete_root,
    leaf_hash,
)
from materialabs.ledger.notes import Checkpoint, Signer
from materialabs.store.schema import log_checkpoints, log_entries, log_hashes


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
    peaks = bytes(row.peaks)
    parts = [peaks[i : i + HASH_SIZE] for i in range(0, len(peaks), HASH_SIZE)]
    if len(parts) != int(row.size).bit_count():
        raise IntegrityError(f"The log's right edge at {row.size} entries is damaged.")
    return LogState(Frontier(row.size, parts), row.note)


def append(connection: Connection, entries: Sequence[LogEntry], signer: Signer) -> LogState:
    """Append entries, sign the new checkpoint, and give the new state; the caller commits."""
    state = read_state(connection)
    if not entries:
        return state
    first = state.frontier.size
    leaves = [entry.to_leaf() for entry in entries]
    connection.execute(
        insert(log_entries),
        [
            _row(first + offset, entry, leaf)
            for offset, (entry, leaf) in enumerate(zip(entries, leaves, strict=True))
        ],
    )
    hashes = [leaf_hash(leaf) for leaf in leaves]
    frontier = state.frontier.copy()
    frontier.extend(hashes)
    _keep_subtrees(connection, first, hashes)
    note = str(Checkpoint(signer.name, frontier.size, frontier.root()).note([signer]))
    connection.execute(
        insert(log_checkpoints).values(
            size=frontier.size, peaks=b"".join(frontier.peaks), note=note
        )
    )
    return LogState(frontier, note)


def _row(position: int, entry: LogEntry, leaf: bytes) -> dict[str, Any]:
    return {
        "position": position,
        "leaf": leaf,
        "record_hash": bytes.fromhex(entry.record) if entry.record else None,
        "contributor": entry.contributor,
    }


def _keep_subtrees(connection: Connection, first: int, hashes: Sequence[bytes]) -> None:
    """Store the roots of the subtrees of 256, 65,536, ... leaves that these leaves complete."""
    reader = DatabaseHashes(connection)
    start = first - first % TILE_WIDTH
    current = [*reader.read(0, start, first), *hashes]
    level, number = 0, start // TILE_WIDTH
    while len(current) >= TILE_WIDTH:
        whole = len(current) // TILE_WIDTH
        roots = [
            complete_root(current[i * TILE_WIDTH : (i + 1) * TILE_WIDTH]) for i in range(whole)
        ]
        level += TILE_HEIGHT
        connection.execute(
            insert(log_hashes),
            [
                {"level": level, "number": number + place, "hash": root}
                for place, root in enumerate(roots)
            ],
        )
        start = number - number % TILE_WIDTH
        current = [*reader.read(level, start, number), *roots]
        number = start // TILE_WIDTH


class DatabaseHashes:
    """Hashes of the log's tree, read from the database (a :class:`HashReader`)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, level: int, start: int, stop: int) -> Sequence[bytes]:
        """Hashes ``start`` to ``stop`` of level 0, 8, 16, ..."""
        if start >= stop:
            return []
        if level == 0:
            return [leaf_hash(leaf) for leaf in read_leaves(self._connection, start, stop)]
        rows = self._connection.execute(
            select(log_hashes.c.hash)
            .where(log_hashes.c.level == level, log_hashes.c.number.between(start, stop - 1))
            .order_by(log_hashes.c.number)
        )
        return [bytes(row.hash) for row in rows]


def read_leaves(connection: Connection, start: int, stop: int) -> list[bytes]:
    """The leaves at these positions; a gap is an error."""
    rows = connection.execute(
        select(log_entries.c.leaf)
        .where(log_entries.c.position.between(start, stop - 1))
        .order_by(log_entries.c.position)
    )
    leaves = [bytes(row.leaf) for row in rows]
    if len(leaves) != stop - start:
        raise IntegrityError(f"Entries of the log are missing between {start} and {stop}.")
    return leaves


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
