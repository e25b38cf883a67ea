"""Check everything that a store claims against its log, and name the first thing that is wrong.

The log's checkpoint is signed; the log's entries hash to it; each entry is signed by a key that
counted at its place; each record hashes to what its entry says; crystals and blobs hash to what
their records say; and the derived tables are what the code derives from all that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, or_, select

from materialabs.ledger.notes import Verifier
from materialabs.store import schema
from materialabs.store.database import reading
from materialabs.store.identity import log_verifier
from materialabs.store.log import OWN, LogTables, mirrored
from materialabs.store.store import Store
from materialabs.store.tile_files import tile_problems
from materialabs.store.trust import Trusted, remember, trusted
from materialabs.store.verify_derived import derived_problems
from materialabs.store.verify_log import LogAudit, Problem, parsed, raw
from materialabs.store.verify_mirrors import mirror_audits
from materialabs.store.verify_types import type_problems
from materialabs.store.witness import cosignature_problems


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
    with reading(store.engine) as connection, _any_text(connection):
        audit = _Audit(connection, verifier, before, everything, tiles, keys)
        for problem in audit.problems():
            verdict.problems.append(problem)
            if len(verdict.problems) >= most:
                break
        verdict.size, verdict.checked = audit.size, audit.checked
    if verdict.good:
        for log in audit.verified:
            remember(log, keys)
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


@contextmanager
def _any_text(connection: Connection) -> Iterator[None]:
    """Read texts whose bytes were changed into no text at all, so that they can be named."""
    if connection.engine.dialect.name != "sqlite":
        yield
        return
    raw_connection: Any = connection.connection.dbapi_connection
    kept = raw_connection.text_factory
    raw_connection.text_factory = lambda value: value.decode(errors="surrogateescape")
    try:
        yield
    finally:
        raw_connection.text_factory = kept


@dataclass
class _Audit:
    """One pass over a store, problem by problem."""

    connection: Connection
    verifier: Verifier
    before: Trusted | None
    everything: bool
    tiles: Path | None
    keys: Path | None
    size: int = 0
    checked: int = 0
    verified: list[Trusted] = field(default_factory=list)

    def problems(self) -> Iterator[Problem]:
        kinds = [Problem("changed", *found) for found in type_problems(self.connection)]
        if kinds:
            yield from kinds
            return
        note = yield from self._own_log()
        partial = yield from self._mirrored_logs()
        yield from _record_problems(self.connection, partial)
        yield from _content_problems(self.connection)
        if note:
            for found in cosignature_problems(self.connection, self.verifier):
                yield Problem("forged", *found)
        if self.tiles is not None and note:
            for one in tile_problems(self.connection, self.tiles, self.size, note):
                yield Problem(*one)
        for place, message in derived_problems(self.connection):
            yield Problem("changed", place, message)

    def _own_log(self) -> Generator[Problem, None, str]:
        """Check the own log; gives its checkpoint."""
        table = schema.log_checkpoints
        rows = self.connection.execute(select(table).order_by(table.c.size.desc())).all()
        if not rows:
            if self.before is not None and self.before.note:
                message = "The log was verified before and is empty now."
                yield Problem("missing", "entry 0", message)
            yield from self._rows_outside_an_empty_log()
            return ""
        for row in rows[1:]:
            place = f"checkpoint of {row.size} entries"
            yield Problem("added", place, f"The {place} of the past stands beside the last.")
        last = rows[0]
        audit = LogAudit(
            self.connection, OWN, self.verifier, int(last.size), raw(last.peaks), str(last.note),
            before=self.before, everything=self.everything,
        )  # fmt: skip
        yield from audit.problems()
        self.size, self.checked = audit.size, audit.checked
        self.verified.append(Trusted(self.verifier, audit.note))
        return audit.note

    def _mirrored_logs(self) -> Generator[Problem, None, set[int]]:
        """Check other nodes' logs; gives the numbers of those that are here in part."""
        partial = set()
        for audit in mirror_audits(self.connection, self.keys, self.everything):
            if isinstance(audit, tuple):
                yield Problem("forged", *audit)
                continue
            yield from audit.problems()
            number = audit.log.number
            assert number is not None
            if audit.proof:
                partial.add(number)
            else:
                self.verified.append(Trusted(audit.verifier, audit.note))
        yield from _stray_rows(self.connection)
        return partial

    def _rows_outside_an_empty_log(self) -> Iterator[Problem]:
        row = self.connection.execute(select(schema.log_entries.c.position).limit(1)).first()
        if row is not None:
            message = "The log has entries and no checkpoint."
            yield Problem("missing", "checkpoint", message)


def _stray_rows(connection: Connection) -> Iterator[Problem]:
    """Rows of mirrored logs that are not there."""
    logs = select(schema.mirrored_logs.c.id)
    for table in (schema.mirrored_entries, schema.mirrored_hashes):
        row = connection.execute(
            select(table.c.log_id).where(table.c.log_id.not_in(logs)).limit(1)
        ).first()
        if row is not None:
            place = f"mirrored log {row.log_id}"
            yield Problem("missing", place, f"The {place} has rows in {table.name} and is missing.")


@dataclass
class _Listed:
    """What a log says of records: which it lists, and which of these it withdrew."""

    records: set[bytes] = field(default_factory=set)
    withdrawn: set[bytes] = field(default_factory=set)

    @property
    def live(self) -> set[bytes]:
        return self.records - self.withdrawn


def _listed(connection: Connection, log: LogTables) -> _Listed:
    listed, table = _Listed(), log.entries
    for row in connection.execute(select(table.c.leaf).where(*log.of(table))):
        entry = parsed(raw(row.leaf))
        if entry is not None and entry.record:
            chosen = listed.records if entry.kind == "record" else listed.withdrawn
            chosen.add(bytes.fromhex(entry.record))
    return listed


def _record_problems(connection: Connection, partial: set[int]) -> Iterator[Problem]:
    """Records hash to their names; each is there, or gone, exactly as the logs say."""
    own = _listed(connection, OWN)
    known, wanted = set(own.records), own.live
    needed = set(wanted)
    for (number,) in connection.execute(select(schema.mirrored_logs.c.id)).all():
        other = _listed(connection, mirrored(number))
        known |= other.records
        wanted |= other.live - own.withdrawn
        if number not in partial:
            needed |= other.live - own.withdrawn
    found: set[bytes] = set()
    table = schema.records
    for row in connection.execute(select(table.c.hash, table.c.body)):
        name = raw(row.hash)
        found.add(name)
        place = f"record {name.hex()}"
        actual = name if row.body is None else hashlib.sha256(raw(row.body)).digest()
        if name not in known:
            message = f"Record {name.hex()} is in no log."
            if actual in known:
                message = f"Record {actual.hex()} stands under the name {name.hex()}."
            yield Problem("added", place, message)
        elif row.body is None and name in needed:
            yield Problem("missing", place, f"Record {name.hex()} has lost its content.")
        elif actual != name:
            yield Problem("changed", place, f"Record {name.hex()} was changed.")
        elif row.body is not None and name not in wanted:
            yield Problem("added", place, f"Record {name.hex()} was withdrawn and is here again.")
    for name in sorted(known - found):
        yield Problem("missing", f"record {name.hex()}", f"Record {name.hex()} is missing.")
    yield from _number_problems(connection)


def _number_problems(connection: Connection) -> Iterator[Problem]:
    """Records are numbered from 1 without a gap, those of the own log in its order."""
    table, entries, other = schema.records, schema.log_entries, schema.mirrored_entries
    count = connection.execute(select(func.count()).select_from(table)).scalar_one()
    for row in connection.execute(
        select(table.c.id, table.c.hash).where(or_(table.c.id < 1, table.c.id > count)).limit(1)
    ):
        name = raw(row.hash).hex()
        yield Problem("changed", f"record {name}", f"The number of record {name} was changed.")
    elsewhere = select(other.c.record_hash).where(other.c.record_hash.is_not(None))
    rows = connection.execute(
        select(table.c.id, table.c.hash)
        .join(entries, entries.c.record_hash == table.c.hash)
        .where(table.c.hash.not_in(elsewhere))
        .order_by(entries.c.position)
    )
    last, seen = 0, set[int]()
    for row in rows:
        if row.id < last and row.id not in seen:
            name = raw(row.hash).hex()
            message = f"Record {name} does not stand in the order of the log."
            yield Problem("reordered", f"record {name}", message)
            return
        last = max(last, row.id)
        seen.add(row.id)


def _content_problems(connection: Connection) -> Iterator[Problem]:
    """Crystals and blobs hash to their names."""
    for table, what in ((schema.crystals, "crystal"), (schema.blobs, "blob")):
        for row in connection.execute(select(table.c.hash, table.c.content)):
            name = raw(row.hash)
            actual = hashlib.sha256(raw(row.content)).hexdigest()
            if actual != name.hex():
                message = f"The {what} {name.hex()} was changed: its bytes are those of {actual}."
                yield Problem("changed", f"{what} {name.hex()}", message)
