"""Pull another node's log, batch by batch, each proved before anything of it is stored."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select

from materialabs.errors import IntegrityError, MaterialabsError, ResourceError
from materialabs.ledger.entries import LogEntry
from materialabs.ledger.keyring import Keyring
from materialabs.ledger.merkle import (
    TILE_WIDTH,
    Frontier,
    consistency_proof,
    leaf_hash,
    verify_consistency,
)
from materialabs.ledger.notes import Checkpoint, Verifier
from materialabs.store import schema
from materialabs.store.database import reading, writing
from materialabs.store.evidence import Evidence, MirrorError, described, leaf_text
from materialabs.store.log import (
    LogTables,
    keep_entries,
    mirrored,
    read_frontier,
    read_keyring,
)
from materialabs.store.mirror_contents import Collector, Stored, is_wanted, settle
from materialabs.store.node import Node, NodeHashes, TooMuchError
from materialabs.store.rows import next_id
from materialabs.store.store import Store
from materialabs.store.withdraw import authors_of


@dataclass
class Pull:
    """One pull of a log up to a checkpoint.

    Parameters
    ----------
    store
        Where to.
    nodes
        The node that is mirrored, then all others that may have contents.
    verifier, checkpoint, note
        The log's key, and the believed checkpoint with its signed text.
    row
        What is here of the log; ``None`` before the first batch.
    """

    store: Store
    nodes: Sequence[Node]
    verifier: Verifier
    checkpoint: Checkpoint
    note: str
    row: Any
    frontier: Frontier = field(default_factory=Frontier)
    entries: int = 0
    records: int = 0
    set_aside: list[tuple[str, str]] = field(default_factory=list)
    _ahead: set[bytes] | None = None

    def __post_init__(self) -> None:
        self._ring = Keyring(self.verifier.public)
        if self.row is not None:
            self.frontier = read_frontier(int(self.row.size), bytes(self.row.peaks))
            with reading(self.store.engine) as connection:
                self._ring = read_keyring(connection, self.verifier.public, self.log)

    @property
    def log(self) -> LogTables:
        """Where the log stands here."""
        return mirrored(int(self.row.id))

    def run(self) -> None:
        """Pull what is missing, a tile of entries at a time."""
        partial = self.row is not None and bool(self.row.proof)
        while self.frontier.size < self.checkpoint.size:
            number = self.frontier.size // TILE_WIDTH
            first = number * TILE_WIDTH
            width = min(TILE_WIDTH, self.checkpoint.size - first)
            leaves = self._leaves(number, width)[self.frontier.size - first :]
            self._batch(leaves)
        if partial or self._ahead is not None:
            self._fill()

    def _leaves(self, number: int, width: int) -> list[bytes]:
        leaves = self.nodes[0].entries(number, width)
        if len(leaves) != width:
            place = number * TILE_WIDTH + len(leaves)
            raise MirrorError(
                Evidence(
                    "damaged",
                    f"The log {self.verifier.name} leaves out entries: the tile that should hold "
                    f"{width} from {number * TILE_WIDTH} on ends before entry {place}.",
                    index=place,
                )
            )
        return leaves

    def _batch(self, leaves: list[bytes]) -> None:
        """Check and store some entries with their contents, in halves where they are too large."""
        try:
            self._store(leaves)
        except TooMuchError:
            if len(leaves) == 1:
                raise
            middle = len(leaves) // 2
            self._batch(leaves[:middle])
            self._batch(leaves[middle:])

    def _store(self, leaves: list[bytes]) -> None:
        frontier = self.frontier.copy()
        frontier.extend([leaf_hash(leaf) for leaf in leaves])
        proof = self._proved(frontier, leaves)
        ring = copy.deepcopy(self._ring)
        entries = self._admitted(leaves, ring)
        content = self._collector().collect(entries)
        first = self.frontier.size
        with writing(self.store.engine) as connection:
            row = self._locked(connection, first)
            self.row = row
            stored = content.store(connection)
            keep_entries(connection, self.log, self.frontier, entries)
            self._mark(connection, proof)
            for entry in entries:
                if entry.kind == "tombstone":
                    settle(connection, bytes.fromhex(entry.record))
        self._ring = ring
        self.entries += len(entries)
        self._count(stored)

    def _proved(self, frontier: Frontier, leaves: list[bytes]) -> list[bytes]:
        """The proof that these entries are the next ones of what the checkpoint stands for."""
        size = self.checkpoint.size
        try:
            proof = consistency_proof(NodeHashes(self.nodes[0], size), frontier.size, size)
            verify_consistency(frontier.size, size, proof, frontier.root(), self.checkpoint.root)
        except IntegrityError as error:
            raise MirrorError(self._wrong_entry(leaves)) from error
        return proof

    def _wrong_entry(self, leaves: list[bytes]) -> Evidence:
        """Name the entry that is not the one in the tree."""
        first, name = self.frontier.size, self.verifier.name
        hashes = NodeHashes(self.nodes[0], self.checkpoint.size)
        try:
            tree = hashes.read(0, first, first + len(leaves))
        except MaterialabsError:
            tree = []
        for place, (leaf, expected) in enumerate(zip(leaves, tree, strict=False)):
            if leaf_hash(leaf) != expected:
                moved = leaf_hash(leaf) in tree
                verb = "dropped or moved" if moved else "rewritten"
                message = (
                    f"Entry {first + place} of the log {name} was {verb}: {described(leaf)} is not "
                    "what its checkpoint was signed for."
                )
                return Evidence("damaged", message, index=first + place, sent=leaf_text(leaf))
        message = (
            f"The entries {first} to {first + len(leaves) - 1} of the log {name} are not those "
            "that its checkpoint was signed for."
        )
        return Evidence("damaged", message)

    def _admitted(self, leaves: list[bytes], ring: Keyring) -> list[LogEntry]:
        """Entries whose signatures count at their places."""
        entries: list[LogEntry] = []
        for index, leaf in enumerate(leaves, self.frontier.size):
            try:
                entry = LogEntry.parse(leaf)
                ring.admit(index, entry)
                if entry.kind == "tombstone":
                    ring.require_author(index, entry, self._authors(entry, entries))
            except (MaterialabsError, ValueError) as error:
                message = f"Entry {index} of the log {self.verifier.name} is refused: {error}"
                evidence = Evidence("forged", message, index=index, sent=leaf_text(leaf))
                raise MirrorError(evidence) from error
            entries.append(entry)
        return entries

    def _authors(self, tombstone: LogEntry, batch: list[LogEntry]) -> list[str]:
        found = [one.contributor for one in batch
                 if one.kind == "record" and one.record == tombstone.record]  # fmt: skip
        if self.row is not None:
            with reading(self.store.engine) as connection:
                name = bytes.fromhex(tombstone.record)
                found += authors_of(connection, name, self.frontier.size, self.log)
        return found

    def _locked(self, connection: Connection, first: int) -> Any:
        """The log's row inside the transaction; another pull must not have moved it."""
        table = schema.mirrored_logs
        row = connection.execute(
            select(table).where(table.c.origin == self.verifier.name)
        ).one_or_none()
        if (0 if row is None else int(row.size)) != first:
            raise ResourceError(f"Another pull of the log {self.verifier.name} is under way.")
        if row is not None:
            return row
        number = next_id(connection, table)
        connection.execute(
            insert(table).values(
                id=number, origin=self.verifier.name, verifier=self.verifier.to_text(), size=0,
                peaks=b"", note=self.note, proof=b"",
            )
        )  # fmt: skip
        return connection.execute(select(table).where(table.c.id == number)).one()

    def _mark(self, connection: Connection, proof: Sequence[bytes]) -> None:
        """Say how far the log is here, under which checkpoint, and why that holds."""
        table = schema.mirrored_logs
        connection.execute(
            table.update()
            .where(table.c.id == self.row.id)
            .values(
                size=self.frontier.size,
                peaks=b"".join(self.frontier.peaks),
                note=self.note,
                proof=b"".join(proof),
            )
        )

    def _withdrawn_ahead(self) -> set[bytes]:
        """Records that later entries withdraw, read ahead once."""
        if self._ahead is None:
            self._ahead = set()
            for first in range(0, self.checkpoint.size, TILE_WIDTH):
                if first + TILE_WIDTH <= self.frontier.size:
                    continue
                width = min(TILE_WIDTH, self.checkpoint.size - first)
                for leaf in self._leaves(first // TILE_WIDTH, width):
                    if b'"kind":"tombstone"' in leaf:
                        self._ahead.add(bytes.fromhex(LogEntry.parse(leaf).record))
        return self._ahead

    def _collector(self) -> Collector:
        log = None if self.row is None else self.log
        return Collector(self.store, self.nodes, self.verifier.name, log, self._withdrawn_ahead)

    def _fill(self) -> None:
        """Fetch what earlier pulls had to leave out, now that the whole log is here."""
        with reading(self.store.engine) as connection:
            table, log = schema.records, self.log.entries
            rows = connection.execute(
                select(table.c.hash, log.c.leaf)
                .join(log, log.c.record_hash == table.c.hash)
                .where(table.c.body.is_(None), *self.log.of(log))
            ).all()
            entries = [LogEntry.parse(bytes(row.leaf)) for row in rows]
            lost = [one for one in entries if one.kind == "record"
                    and is_wanted(connection, bytes.fromhex(one.record))]  # fmt: skip
        if not lost:
            return
        self._ahead = set()
        content = self._collector().collect(lost)
        with writing(self.store.engine) as connection:
            stored = content.store(connection)
        self._count(stored)

    def _count(self, stored: Stored) -> None:
        self.records += stored.records
        self.set_aside += stored.set_aside
