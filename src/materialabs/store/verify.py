"""Check everything that a store claims against its log, and name the first thing that is wrong.

The log's checkpoint is signed; the log's entries hash to it; each entry is signed by a key that
counted at its place; each record hashes to what its entry says; crystals and blobs hash to what
their records say; and the derived tables are what the code derives from all that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, select

from materialabs.errors import IntegrityError, MaterialabsError
from materialabs.ledger.entries import LogEntry
from materialabs.ledger.keyring import Keyring
from materialabs.ledger.merkle import (
    HASH_SIZE,
    TILE_HEIGHT,
    Frontier,
    consistency_proof,
    leaf_hash,
    verify_consistency,
)
from materialabs.ledger.notes import Checkpoint, Verifier, open_checkpoint
from materialabs.ledger.tiles import Tile, pack_entries, read_file, tiles_between
from materialabs.store import schema
from materialabs.store.database import reading
from materialabs.store.identity import log_verifier
from materialabs.store.log import DatabaseHashes, read_leaves
from materialabs.store.store import BATCH, Store
from materialabs.store.trust import Trusted, remember, trusted
from materialabs.store.verify_derived import derived_problems, raw


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
class Verdict:
    """What verification found.

    Parameters
    ----------
    origin, size
        The log and how many entries it has.
    checked
        How many entries were checked this time.
    problems
        In the order in which they were met.
    """

    origin: str = ""
    size: int = 0
    checked: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(
    store: Store,
    *,
    verifier: Verifier | None = None,
    keys: Path | None = None,
    everything: bool = False,
    tiles: Path | None = None,
    most: int = 1,
) -> Verdict:
    """Verify a store and remember the checkpoint if all is well.

    Parameters
    ----------
    store
        What to verify.
    verifier
        The log's public key, from a source that you trust; by default the one remembered from
        before, or at first sight the one that the store names.
    keys
        Folder where the verified logs are remembered.
    everything
        Check all entries and records again, not only those since the last verified checkpoint.
    tiles
        Folder of the log's tiles, to be checked too.
    most
        Problems to find before stopping.
    """
    verdict = Verdict()
    before, verifier = _known(store, verifier, keys)
    if verifier is None:
        return verdict
    verdict.origin = verifier.name
    with reading(store.engine) as connection:
        audit = _Audit(connection, verifier, before, everything, tiles)
        for problem in audit.problems():
            verdict.problems.append(problem)
            if len(verdict.problems) >= most:
                break
        verdict.size, verdict.checked = audit.size, audit.checked
    if verdict.good and audit.note:
        remember(Trusted(verifier, audit.note), keys)
    return verdict


def _known(
    store: Store, verifier: Verifier | None, keys: Path | None
) -> tuple[Trusted | None, Verifier | None]:
    claimed = log_verifier(store.engine)
    chosen = verifier or claimed
    if chosen is None:
        return None, None
    before = trusted(chosen.name, keys)
    return before, verifier or (before.verifier if before else chosen)


@dataclass
class _Audit:
    """One pass over a store, problem by problem."""

    connection: Connection
    verifier: Verifier
    before: Trusted | None
    everything: bool
    tiles: Path | None
    size: int = 0
    checked: int = 0
    note: str = ""
    first: int = 0

    def problems(self) -> Iterator[Problem]:
        checkpoints = self._checkpoints()
        try:
            last = self._last_checkpoint(checkpoints)
        except IntegrityError as error:
            yield Problem("forged", "checkpoint", str(error))
            return
        if last is None:
            yield from self._rows_outside_an_empty_log()
            return
        self.size = last.size
        yield from self._history(last)
        yield from self._entries(checkpoints)
        yield from self._records()
        yield from self._contents()
        yield from self._subtrees()
        if self.tiles is not None:
            yield from self._tiles(self.tiles)
        for place, message in derived_problems(self.connection):
            yield Problem("changed", place, message)

    def _checkpoints(self) -> list[tuple[int, bytes, str]]:
        table = schema.log_checkpoints
        rows = self.connection.execute(select(table).order_by(table.c.size))
        return [(int(row.size), raw(row.peaks), str(row.note)) for row in rows]

    def _last_checkpoint(self, rows: list[tuple[int, bytes, str]]) -> Checkpoint | None:
        if not rows:
            return None
        size, _, note = rows[-1]
        checkpoint = open_checkpoint(note, self.verifier)
        if checkpoint.size != size:
            raise IntegrityError(f"The checkpoint of {size} entries speaks of {checkpoint.size}.")
        self.note = note
        return checkpoint

    def _history(self, last: Checkpoint) -> Iterator[Problem]:
        """Whether the log grew out of what was verified before."""
        if self.before is None or not self.before.note:
            return
        old = open_checkpoint(self.before.note, self.verifier)
        if not self.everything:
            self.first = old.size
        if old.size > last.size:
            message = f"The log had {old.size} entries when last verified and has {last.size} now."
            yield Problem("missing", f"entry {last.size}", message)
            self.first = 0
            return
        try:
            proof = consistency_proof(DatabaseHashes(self.connection), old.size, last.size)
            verify_consistency(old.size, last.size, proof, old.root, last.root)
        except MaterialabsError:
            self.first = 0
            message = f"The first {old.size} entries are not those that were verified before."
            yield Problem("forked", f"entries 0 to {old.size}", message)

    def _entries(self, checkpoints: list[tuple[int, bytes, str]]) -> Iterator[Problem]:
        """Signatures in order, and the root of every checkpoint."""
        ring = Keyring(self.verifier.public)
        frontier = Frontier()
        marks = {size: (peaks, note) for size, peaks, note in checkpoints}
        for start in range(0, self.size, BATCH):
            stop = min(start + BATCH, self.size)
            try:
                leaves = read_leaves(self.connection, start, stop)
            except IntegrityError:
                yield self._missing_entry(start, stop)
                return
            for index, leaf in enumerate(leaves, start):
                frontier.append(leaf_hash(leaf))
                yield from self._entry(index, leaf, ring)
                if index + 1 in marks:
                    yield from self._mark(index + 1, frontier, *marks[index + 1])
        yield from self._surplus_entries()
        yield from self._entry_columns()

    def _entry(self, index: int, leaf: bytes, ring: Keyring) -> Iterator[Problem]:
        try:
            entry = LogEntry.parse(leaf)
            if index >= self.first:
                self.checked += 1
                ring.admit(index, entry)
            else:
                ring.learn(index, entry)
        except IntegrityError as error:
            kind = "wrong key" if "key" in str(error) else "forged"
            yield Problem(kind, f"entry {index}", str(error))

    def _mark(self, size: int, frontier: Frontier, peaks: bytes, note: str) -> Iterator[Problem]:
        try:
            checkpoint = open_checkpoint(note, self.verifier)
        except IntegrityError as error:
            yield Problem("forged", f"checkpoint of {size} entries", str(error))
            return
        if (checkpoint.size, checkpoint.root) != (size, frontier.root()):
            message = f"The entries before {size} are not those that the checkpoint was signed for."
            yield Problem("reordered", f"entries before {size}", message)
        if b"".join(frontier.peaks) != peaks:
            message = f"The stored right edge of the log at {size} entries is not its own."
            yield Problem("changed", f"checkpoint of {size} entries", message)

    def _missing_entry(self, start: int, stop: int) -> Problem:
        table = schema.log_entries.c.position
        rows = self.connection.execute(
            select(table).where(table.between(start, stop - 1)).order_by(table)
        )
        present = {int(row.position) for row in rows}
        lost = next(place for place in range(start, stop) if place not in present)
        return Problem("missing", f"entry {lost}", f"Entry {lost} of the log is missing.")

    def _surplus_entries(self) -> Iterator[Problem]:
        table = schema.log_entries.c.position
        row = self.connection.execute(
            select(table).where((table >= self.size) | (table < 0)).limit(1)
        ).one_or_none()
        if row is not None:
            message = f"Entry {row.position} stands behind the last signed checkpoint."
            yield Problem("added", f"entry {row.position}", message)

    def _entry_columns(self) -> Iterator[Problem]:
        """The columns that find an entry by its record say what the entry says."""
        table = schema.log_entries
        for row in self.connection.execute(select(table)):
            entry = _parsed(raw(row.leaf))
            named = raw(row.record_hash).hex() if row.record_hash is not None else ""
            if entry is not None and (entry.record, entry.contributor) != (named, row.contributor):
                message = f"The row of entry {row.position} does not say what the entry says."
                yield Problem("changed", f"entry {row.position}", message)

    def _records(self) -> Iterator[Problem]:
        """Records hash to their names, and log and records speak of the same ones."""
        entries, table = schema.log_entries, schema.records
        withdrawn = set()
        listed: set[bytes] = set()
        for row in self.connection.execute(select(entries.c.leaf)):
            entry = _parsed(raw(row.leaf))
            if entry is None or not entry.record:
                continue
            name = bytes.fromhex(entry.record)
            listed.add(name)
            if entry.kind == "tombstone":
                withdrawn.add(name)
        found: set[bytes] = set()
        for row in self.connection.execute(select(table.c.hash, table.c.body)):
            name = raw(row.hash)
            found.add(name)
            yield from self._record(name, row.body, name in listed, name in withdrawn)
        for name in sorted(listed - found):
            yield Problem("missing", f"record {name.hex()}", f"Record {name.hex()} is missing.")

    def _record(
        self, name: bytes, body: bytes | None, listed: bool, withdrawn: bool
    ) -> Iterator[Problem]:
        place = f"record {name.hex()}"
        if not listed:
            yield Problem("added", place, f"Record {name.hex()} is not in the log.")
        elif body is None and not withdrawn:
            yield Problem("missing", place, f"Record {name.hex()} has lost its content.")
        elif body is not None and hashlib.sha256(raw(body)).digest() != name:
            yield Problem("changed", place, f"Record {name.hex()} was changed.")

    def _contents(self) -> Iterator[Problem]:
        """Crystals and blobs hash to their names."""
        for table, what in ((schema.crystals, "crystal"), (schema.blobs, "blob")):
            for row in self.connection.execute(select(table.c.hash, table.c.content)):
                name = raw(row.hash)
                if hashlib.sha256(raw(row.content)).digest() != name:
                    message = f"The {what} {name.hex()} was changed."
                    yield Problem("changed", f"{what} {name.hex()}", message)

    def _subtrees(self) -> Iterator[Problem]:
        """The stored hashes of subtrees are those of the entries."""
        table = schema.log_hashes
        expected: dict[tuple[int, int], bytes] = {}
        reader, below = DatabaseHashes(self.connection), self.size
        level = 0
        while below >= 256:
            whole = below // 256
            for number in range(whole):
                hashes = (
                    reader.read(0, number * 256, number * 256 + 256)
                    if level == 0
                    else [expected[level, number * 256 + place] for place in range(256)]
                )
                expected[level + TILE_HEIGHT, number] = _complete(hashes)
            level, below = level + TILE_HEIGHT, whole
        stored = {
            (int(row.level), int(row.number)): raw(row.hash)
            for row in self.connection.execute(select(table))
        }
        for key in sorted(expected.keys() | stored.keys()):
            if expected.get(key) != stored.get(key):
                place = f"hash {key[1]} of level {key[0]}"
                yield Problem("changed", place, f"The stored {place} is not that of the entries.")

    def _tiles(self, folder: Path) -> Iterator[Problem]:
        for tile in tiles_between(0, self.size):
            try:
                content = read_file(folder, tile.path)
            except MaterialabsError as error:
                yield Problem("missing", tile.path, str(error))
                continue
            if content != tile_content(self.connection, tile):
                message = f"The tile {tile.path} is not that of the entries."
                yield Problem("changed", tile.path, message)

    def _rows_outside_an_empty_log(self) -> Iterator[Problem]:
        for table in (schema.records, schema.crystals, schema.log_entries):
            if self.connection.execute(select(table).limit(1)).one_or_none() is not None:
                yield Problem("added", table.name, f"{table.name} has rows and the log is empty.")


def _parsed(leaf: bytes) -> LogEntry | None:
    try:
        return LogEntry.parse(leaf)
    except IntegrityError:
        return None


def _complete(hashes: object) -> bytes:
    from materialabs.ledger.merkle import complete_root

    return complete_root(hashes)  # type: ignore[arg-type]


def tile_content(connection: Connection, tile: Tile) -> bytes:
    """The bytes of a tile, from the database."""
    first = tile.number * 256
    if tile.level < 0:
        return pack_entries(read_leaves(connection, first, first + tile.width))
    hashes = DatabaseHashes(connection).read(tile.level * TILE_HEIGHT, first, first + tile.width)
    if len(hashes) != tile.width or any(len(one) != HASH_SIZE for one in hashes):
        raise IntegrityError(f"The log lacks hashes for {tile.path}.")
    return b"".join(hashes)
