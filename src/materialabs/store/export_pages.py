"""A store's contents page by page: structures with their records, and records without one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, select

from materialabs.crystals.batch import Crystals
from materialabs.ledger.entries import LogEntry, any_of
from materialabs.store import schema
from materialabs.store.database import reading
from materialabs.store.observations import read_record
from materialabs.store.query import Results
from materialabs.store.records import METHOD_KINDS, Property, Record
from materialabs.store.rows import chunks
from materialabs.store.store import Store

PAGE: Final = 500
"""Structures, or records without one, that are held at a time."""


@dataclass(frozen=True)
class StoredRecord:
    """A record as it stands in the store.

    Parameters
    ----------
    number
        In the store; newer records have higher ones.
    name
        Its id.
    body
        Its canonical bytes.
    record
        What they say.
    superseded
        Whether another record corrects it.
    licence
        Under which it was given; empty where none is stated.
    """

    number: int
    name: str
    body: bytes
    record: Record
    superseded: bool
    licence: str = ""


@dataclass(frozen=True)
class StoredPage:
    """A part of what is exported.

    Parameters
    ----------
    rows
        Wide rows of structures.
    crystals
        The structures, in the same order.
    records
        Of each structure by its number; those without a crystal under ``None``.
    """

    rows: list[Mapping[str, Any]]
    crystals: Crystals
    records: dict[int | None, list[StoredRecord]] = field(default_factory=dict)


@dataclass(frozen=True)
class ExportedValue:
    """One value with all that a reader needs to judge it."""

    record: StoredRecord
    one: Property

    def document(self) -> dict[str, Any]:
        """The value as a flat row."""
        one, method = self.one, self.one.method
        conditions = {name: f"{value:g} {unit}" for name, (value, unit) in one.conditions.items()}
        return {
            "property": one.name,
            "value": f"blob:{one.blob}" if one.blob else one.value,
            "unit": one.unit,
            "uncertainty": one.uncertainty,
            "method": method.kind,
            "program": " ".join(part for part in (method.name, method.version) if part),
            "level": "" if method.level is None else str(method.level),
            "conditions": json.dumps(conditions, sort_keys=True) if conditions else "",
            "record": self.record.name,
            "doi": self.record.record.doi,
            "licence": self.record.licence,
        }


def values_of(records: Iterable[StoredRecord]) -> list[ExportedValue]:
    """All values of some records, the preferred of each property first; corrected ones left out."""
    found = [
        (METHOD_KINDS.index(one.method.kind), -record.number, place, ExportedValue(record, one))
        for record in records
        if not record.superseded
        for place, one in enumerate(record.record.properties)
    ]
    return [item[3] for item in sorted(found, key=lambda item: item[:3])]


def structure_pages(store: Store, results: Results) -> Iterator[StoredPage]:
    """Structures that a filter selects, with their records."""
    for page in results.pages(PAGE):
        if page.rows:
            numbers = [int(row["id"]) for row in page.rows]
            with reading(store.engine) as connection:
                records = stored_records(connection, numbers)
            yield StoredPage(page.rows, store.crystals(numbers), records)


def composition_pages(store: Store) -> Iterator[StoredPage]:
    """Records of compositions, without a crystal."""
    table = schema.records
    last = 0
    while True:
        with reading(store.engine) as connection:
            rows = connection.execute(
                select(table)
                .where(table.c.crystal_id.is_(None), table.c.body.is_not(None), table.c.id > last)
                .order_by(table.c.id)
                .limit(PAGE)
            ).all()
            records = _stored(connection, rows)
        if not rows:
            return
        last = int(rows[-1].id)
        yield StoredPage([], Crystals.empty(), {None: records})


def stored_records(
    connection: Connection, numbers: list[int]
) -> dict[int | None, list[StoredRecord]]:
    """The records of structures, by the structure's number."""
    table = schema.records
    found: dict[int | None, list[StoredRecord]] = {number: [] for number in numbers}
    for chunk in chunks(numbers):
        rows = connection.execute(
            select(table)
            .where(table.c.crystal_id.in_(chunk), table.c.body.is_not(None))
            .order_by(table.c.id)
        ).all()
        for row, record in zip(rows, _stored(connection, rows), strict=True):
            found[row.crystal_id].append(record)
    return found


def _stored(connection: Connection, rows: Sequence[Any]) -> list[StoredRecord]:
    entries = _entries(connection, [bytes(row.hash) for row in rows])
    return [
        StoredRecord(
            int(row.id),
            bytes(row.hash).hex(),
            bytes(row.body),
            read_record(bytes(row.body)),
            bool(row.superseded),
            any_of(entries[bytes(row.hash).hex()]),
        )
        for row in rows
    ]


def entries_of(store: Store, names: list[str]) -> dict[str, list[LogEntry]]:
    """What logs say of records: their signed entries, by record."""
    with reading(store.engine) as connection:
        return _entries(connection, [bytes.fromhex(name) for name in names])


def _entries(connection: Connection, names: list[bytes]) -> dict[str, list[LogEntry]]:
    """The own log's entries first, then those of other nodes' logs."""
    found: dict[str, list[LogEntry]] = {name.hex(): [] for name in names}
    own, others = schema.log_entries, schema.mirrored_entries
    for table, order in ((own, [own.c.position]), (others, [others.c.log_id, others.c.position])):
        for chunk in chunks(names):
            rows = connection.execute(
                select(table.c.leaf, table.c.record_hash)
                .where(table.c.record_hash.in_(chunk))
                .order_by(*order)
            )
            for row in rows:
                entry = LogEntry.parse(bytes(row.leaf))
                if entry.kind == "record":
                    found[bytes(row.record_hash).hex()].append(entry)
    return found


def blobs_of(store: Store, record: Record) -> dict[str, bytes]:
    """The large values of a record by their names."""
    names = {one.blob for one in record.properties if one.blob}
    return {name: store.content(bytes.fromhex(name)) for name in sorted(names)}
