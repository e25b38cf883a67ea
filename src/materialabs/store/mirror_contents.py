"""What the entries of a mirrored log speak of: fetched by hash, checked, ready to be stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, insert, select

from materialabs.errors import IntegrityError, MaterialabsError
from materialabs.ledger.entries import LogEntry
from materialabs.store import schema
from materialabs.store.database import reading
from materialabs.store.evidence import Evidence, MirrorError
from materialabs.store.forget import forget
from materialabs.store.log import OWN, LogTables, mirrored
from materialabs.store.node import Node, gather
from materialabs.store.observations import PreparedRecord, prepare_crystals, signed_record
from materialabs.store.records import Record
from materialabs.store.rows import chunks, next_id
from materialabs.store.store import Store
from materialabs.store.upload import read_crystals
from materialabs.store.values import narrow, unit_conflicts
from materialabs.store.withdraw import authors_of, is_buried
from materialabs.store.writer import lacking_contents, record_places, store_contents

MEMORY: Final = 256_000_000
"""Bytes of content held at once; batches are halved until they fit."""


@dataclass(frozen=True)
class Collector:
    """Fetches what records need from whichever node has it.

    Parameters
    ----------
    store
        Where to.
    nodes
        The node that is mirrored, then all others that may have contents.
    origin, log
        The log, and where it stands here; ``None`` before its first entries.
    withdrawn_ahead
        Gives the records that later entries withdraw.
    """

    store: Store
    nodes: Sequence[Node]
    origin: str
    log: LogTables | None
    withdrawn_ahead: Callable[[], set[bytes]]

    def collect(self, entries: Sequence[LogEntry]) -> Contents:
        """What the records of these entries need, fetched and checked."""
        told = sorted((one for one in entries if one.kind == "record"), key=lambda one: one.time)
        listed = {bytes.fromhex(one.record): one for one in told}  # the newest, if told twice
        buried = {bytes.fromhex(one.record) for one in entries if one.kind == "tombstone"}
        with reading(self.store.engine) as connection:
            state = _held(connection, list(listed))
            buried |= {name for name in listed if self._is_buried(connection, name)}
            ours = {name for name, body in state.items()
                    if body is None and is_buried(connection, name, OWN)}  # fmt: skip
        wanted = [name for name in listed if state.get(name) is None and name not in ours | buried]
        bodies = self._fetched(wanted)
        gone = (set(wanted) - bodies.keys()) | buried - state.keys()
        bodies |= {name: body for name, body in state.items() if body is not None}
        records = [self._prepared(name, body, listed[name]) for name, body in bodies.items()]
        return self._with_crystals(records, {name for name in gone if name in listed})

    def _is_buried(self, connection: Connection, name: bytes) -> bool:
        return self.log is not None and is_buried(connection, name, self.log)

    def _fetched(self, wanted: list[bytes]) -> dict[bytes, bytes]:
        """Bodies of records from any node; those that are missing were withdrawn later on."""
        bodies = gather(self.nodes, wanted, MEMORY)
        for name in wanted:
            if name not in bodies and name not in self.withdrawn_ahead():
                raise MirrorError(self._lacking("record", name))
        return bodies

    def _lacking(self, what: str, name: bytes) -> Evidence:
        message = (
            f"The log {self.origin} lists the {what} {name.hex()}, and no node gives its "
            "bytes or what was sent has another hash."
        )
        return Evidence("missing", message)

    def _prepared(self, name: bytes, body: bytes, entry: LogEntry) -> PreparedRecord:
        try:
            record = Record.from_document(json.loads(body))
            if record.canonical() != body:
                raise IntegrityError("its bytes are not in canonical form")
            narrow(record.properties)
        except (MaterialabsError, ValueError, KeyError, TypeError, RecursionError) as error:
            message = f"The record {name.hex()} of the log {self.origin} is none: {error}"
            raise MirrorError(Evidence("damaged", message)) from error
        return signed_record(record, body, entry)

    def _with_crystals(self, records: list[PreparedRecord], gone: set[bytes]) -> Contents:
        """Fetch the crystals and blobs that these records need and the store does not have."""
        crystals = {record.crystal for record in records if record.crystal}
        blobs = {bytes.fromhex(one.blob) for record in records for one in record.properties
                 if one.blob}  # fmt: skip
        with reading(self.store.engine) as connection:
            crystals -= _known(connection, schema.crystals, crystals)
            blobs -= _known(connection, schema.blobs, blobs)
        found = gather(self.nodes, sorted(crystals | blobs), MEMORY)
        for what, names in (("crystal", crystals), ("blob", blobs)):
            for name in sorted(names - found.keys()):
                raise MirrorError(self._lacking(what, name))
        try:
            batch = read_crystals([found[name] for name in sorted(crystals)]) if crystals else None
            prepared = None if batch is None else prepare_crystals(batch)
        except MaterialabsError as error:
            message = f"A crystal of the log {self.origin} is refused: {error}"
            raise MirrorError(Evidence("damaged", message)) from error
        return Contents(records, gone, prepared, {name: found[name] for name in blobs})


@dataclass(frozen=True)
class Contents:
    """What the entries of a batch speak of, ready to be stored."""

    records: list[PreparedRecord]
    gone: set[bytes]
    crystals: Any
    blobs: dict[bytes, bytes]

    def store(self, connection: Connection) -> Stored:
        """Store it, and tell what is new."""
        places = record_places(connection, self.records)
        lacking = lacking_contents(self.records, places)
        conflicts = unit_conflicts(connection, lacking)
        store_contents(connection, self.crystals, self.records, self.blobs, places)
        table = schema.records
        known = _known(connection, table, self.gone)
        number = next_id(connection, table)
        rows = [
            {"id": number + place, "hash": name, "body": None, "crystal_id": None,
             "superseded": False}
            for place, name in enumerate(sorted(self.gone - known))
        ]  # fmt: skip
        if rows:
            connection.execute(insert(table), rows)
        return Stored(
            sum(record.hash not in places for record in self.records),
            [(record.hash.hex(), reason) for record, reason in conflicts],
        )


@dataclass(frozen=True)
class Stored:
    """What was stored of a batch.

    Parameters
    ----------
    records
        How many were new.
    set_aside
        (record, reason) of those with a number that no filter can compare; the record is here.
    """

    records: int
    set_aside: list[tuple[str, str]]


def _held(connection: Connection, names: list[bytes]) -> dict[bytes, bytes | None]:
    """Bodies of records that stand here; nothing for those that were withdrawn."""
    table = schema.records
    return {
        bytes(row.hash): None if row.body is None else bytes(row.body)
        for chunk in chunks(names)
        for row in connection.execute(
            select(table.c.hash, table.c.body).where(table.c.hash.in_(chunk))
        )
    }


def _known(connection: Connection, table: Any, names: set[bytes]) -> set[bytes]:
    return {
        bytes(row.hash)
        for chunk in chunks(sorted(names))
        for row in connection.execute(select(table.c.hash).where(table.c.hash.in_(chunk)))
    }


def is_wanted(connection: Connection, name: bytes) -> bool:
    """Whether a record should be here: the own log's word goes first, then any other log's."""
    if is_buried(connection, name, OWN):
        return False
    numbers = [row.id for row in connection.execute(select(schema.mirrored_logs.c.id)).all()]
    return any(
        authors_of(connection, name, 1 << 62, log) and not is_buried(connection, name, log)
        for log in [OWN, *(mirrored(number) for number in numbers)]
    )


def settle(connection: Connection, name: bytes) -> None:
    """Forget a record that no log stands for any more."""
    if not is_wanted(connection, name):
        forget(connection, name)
