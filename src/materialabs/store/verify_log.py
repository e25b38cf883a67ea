"""Check one log, the store's own or a mirrored one: checkpoint, entries, signatures, hashes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from materialabs.errors import IntegrityError, MaterialabsError
from materialabs.ledger.entries import LogEntry
from materialabs.ledger.keyring import Keyring
from materialabs.ledger.merkle import (
    TILE_HEIGHT,
    TILE_WIDTH,
    Frontier,
    complete_root,
    consistency_proof,
    leaf_hash,
    verify_consistency,
)
from materialabs.ledger.notes import Checkpoint, Note, Verifier, open_checkpoint
from materialabs.store.log import DatabaseHashes, LogTables, read_leaves
from materialabs.store.store import BATCH
from materialabs.store.trust import Trusted
from materialabs.store.withdraw import authors_of


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Parameters
    ----------
    kind
        ``changed``, ``missing``, ``added``, ``reordered``, ``forged``, ``wrong key``, ``forked``.
    place
        Where: an entry, a record, a crystal, a tile, a column.
    message
        One sentence.
    """

    kind: str
    place: str
    message: str


@dataclass
class LogAudit:
    """One pass over a log, problem by problem.

    Parameters
    ----------
    connection
        Inside a reading transaction.
    log
        Which log.
    verifier
        Its public key.
    size, peaks, note
        How many entries are here, their right edge as stored, and the log's checkpoint.
    proof
        Where the checkpoint stands for more entries than are here: the consistency proof between.
    before
        What was verified earlier.
    everything
        Check all signatures again, not only those of entries since then.
    """

    connection: Connection
    log: LogTables
    verifier: Verifier
    size: int
    peaks: bytes
    note: str
    proof: list[bytes] = field(default_factory=list)
    before: Trusted | None = None
    everything: bool = False
    checked: int = 0
    _first: int = 0

    @property
    def _of(self) -> str:
        return "" if self.log.number is None else f" of the mirrored log {self.verifier.name}"

    def problems(self) -> Iterator[Problem]:
        """Everything that is wrong, in the order in which it is met."""
        try:
            last = self._checkpoint()
        except IntegrityError as error:
            yield Problem("forged", f"checkpoint{self._of}", str(error))
            return
        yield from self._history(last)
        yield from self._entries(last)
        yield from self._columns()

    def _checkpoint(self) -> Checkpoint:
        checkpoint = open_checkpoint(self.note, self.verifier)
        if len(Note.parse(self.note).signatures) != 1:
            raise IntegrityError("The stored checkpoint has a signature too many.")
        if checkpoint.size < self.size or (not self.proof and checkpoint.size > self.size):
            raise IntegrityError(
                f"The checkpoint of {self.size} entries speaks of {checkpoint.size}."
            )
        return checkpoint

    def _history(self, last: Checkpoint) -> Iterator[Problem]:
        """Whether the log grew out of what was verified before."""
        if self.before is None or not self.before.note:
            return
        old = open_checkpoint(self.before.note, self.verifier)
        if old.size > last.size:
            message = f"The log had {old.size} entries when last verified and has {last.size} now."
            yield Problem("missing", f"entry {last.size}{self._of}", message)
            return
        if old.size > self.size:
            return
        try:
            reader = DatabaseHashes(self.connection, self.log)
            proof = consistency_proof(reader, old.size, self.size)
            root = last.root if last.size == self.size else self._stored_root()
            verify_consistency(old.size, self.size, proof, old.root, root)
        except MaterialabsError:
            message = f"The first {old.size} entries are not those that were verified before."
            yield Problem("forked", f"entries 0 to {old.size}{self._of}", message)
            return
        if not self.everything:
            self._first = old.size

    def _stored_root(self) -> bytes:
        from materialabs.store.log import read_frontier

        return read_frontier(self.size, self.peaks).root()

    def _entries(self, last: Checkpoint) -> Iterator[Problem]:
        """Signatures in order, then the root and the stored hashes."""
        ring, frontier, roots = Keyring(self.verifier.public), Frontier(), list[bytes]()
        pending: list[bytes] = []
        for start in range(0, self.size, BATCH):
            stop = min(start + BATCH, self.size)
            try:
                leaves = read_leaves(self.connection, start, stop, self.log)
            except IntegrityError:
                yield self._missing(start, stop)
                return
            for index, leaf in enumerate(leaves, start):
                pending.append(leaf_hash(leaf))
                frontier.append(pending[-1])
                if len(pending) == TILE_WIDTH:
                    roots.append(complete_root(pending))
                    pending = []
                yield from self._entry(index, leaf, ring)
        yield from self._root(frontier, last)
        yield from self._subtrees(roots)

    def _entry(self, index: int, leaf: bytes, ring: Keyring) -> Iterator[Problem]:
        try:
            entry = LogEntry.parse(leaf)
            if index >= self._first:
                self.checked += 1
                ring.admit(index, entry)
            else:
                ring.learn(index, entry)
            if entry.kind == "tombstone":
                name = bytes.fromhex(entry.record)
                authors = authors_of(self.connection, name, index, self.log)
                ring.require_author(index, entry, authors)
        except IntegrityError as error:
            kind = "wrong key" if "key" in str(error) else "forged"
            place = f"entry {index}{self._of}"
            yield Problem(kind, place, f"{str(error).rstrip('.')} ({place}).")

    def _root(self, frontier: Frontier, last: Checkpoint) -> Iterator[Problem]:
        try:
            verify_consistency(self.size, last.size, self.proof, frontier.root(), last.root)
        except IntegrityError:
            block = self._first_wrong_block()
            message = (
                f"The entries {block}{self._of} are not those that the checkpoint was signed for: "
                "changed or reordered."
            )
            yield Problem("reordered", f"entries {block}{self._of}", message)
        if b"".join(frontier.peaks) != self.peaks:
            place = f"checkpoint of {self.size} entries{self._of}"
            yield Problem("changed", place, f"The stored right edge of the {place} was changed.")

    def _first_wrong_block(self) -> str:
        """The 256 entries that do not hash to the hash that is stored for them."""
        reader = DatabaseHashes(self.connection, self.log)
        for number in range(self.size // TILE_WIDTH):
            start = number * TILE_WIDTH
            hashes = reader.read(0, start, start + TILE_WIDTH)
            stored = reader.read(TILE_HEIGHT, number, number + 1)
            if list(stored) != [complete_root(hashes)]:
                return f"{start} to {start + TILE_WIDTH - 1}"
        return f"0 to {self.size - 1}"

    def _missing(self, start: int, stop: int) -> Problem:
        table = self.log.entries
        rows = self.connection.execute(
            select(table.c.position)
            .where(table.c.position.between(start, stop - 1), *self.log.of(table))
            .order_by(table.c.position)
        )
        present = {int(row.position) for row in rows}
        lost = next(place for place in range(start, stop) if place not in present)
        place = f"entry {lost}{self._of}"
        return Problem("missing", place, f"{place.capitalize()} of the log is missing.")

    def _subtrees(self, roots: list[bytes]) -> Iterator[Problem]:
        """The stored hashes of subtrees are those of the entries."""
        expected: dict[tuple[int, int], bytes] = {}
        level = TILE_HEIGHT
        while roots:
            expected |= {(level, number): root for number, root in enumerate(roots)}
            whole = len(roots) // TILE_WIDTH
            roots = [
                complete_root(roots[i * TILE_WIDTH : (i + 1) * TILE_WIDTH]) for i in range(whole)
            ]
            level += TILE_HEIGHT
        table = self.log.hashes
        stored = {
            (int(row.level), int(row.number)): raw(row.hash)
            for row in self.connection.execute(select(table).where(*self.log.of(table)))
        }
        for key in sorted(expected.keys() | stored.keys()):
            if expected.get(key) != stored.get(key):
                place = f"hash {key[1]} of level {key[0]}{self._of}"
                yield Problem("changed", place, f"The stored {place} is not that of the entries.")

    def _columns(self) -> Iterator[Problem]:
        """The columns that find an entry say what the entry says, and no entry is too many."""
        table = self.log.entries
        for row in self.connection.execute(select(table).where(*self.log.of(table))):
            place = f"entry {row.position}{self._of}"
            if not 0 <= row.position < self.size:
                message = f"{place.capitalize()} stands behind the last signed checkpoint."
                yield Problem("added", place, message)
                continue
            entry = parsed(raw(row.leaf))
            named = raw(row.record_hash).hex() if row.record_hash is not None else ""
            if entry is not None and (entry.record, entry.contributor) != (named, row.contributor):
                message = f"The row of {place} does not say what the entry says."
                yield Problem("changed", place, message)


def parsed(leaf: bytes) -> LogEntry | None:
    """An entry, or nothing where these bytes are none."""
    try:
        return LogEntry.parse(leaf)
    except IntegrityError:
        return None


def raw(value: object) -> bytes:
    """A stored value as bytes, whatever was put in its place."""
    return bytes(value) if isinstance(value, (bytes, memoryview)) else repr(value).encode()
