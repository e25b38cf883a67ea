"""One transaction of a store: crystals, records, their derived rows, and the log together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from materialabs.errors import InputError, IntegrityError
from materialabs.ledger.notes import Signer
from materialabs.store import schema
from materialabs.store.blocks.packing import mark_changed, pack_full
from materialabs.store.derive import crystal_name, entry_seconds
from materialabs.store.log import append, read_state
from materialabs.store.observations import PreparedCrystals, PreparedRecord
from materialabs.store.records import Property
from materialabs.store.rows import chunks, insert_rows, lookup, next_id
from materialabs.store.values import (
    refresh_preferred,
    refresh_sources,
    store_values,
    unit_conflicts,
)


@dataclass(frozen=True)
class Written:
    """What a write did.

    Parameters
    ----------
    crystals, records
        How many were new.
    known
        How many records stood there already; nothing happened to them.
    size
        Entries of the log afterwards.
    """

    crystals: int
    records: int
    known: int
    size: int


def write(
    connection: Connection,
    crystals: PreparedCrystals | None,
    records: Sequence[PreparedRecord],
    signer: Signer,
    blobs: dict[bytes, bytes] | None = None,
) -> Written:
    """Store what is new and append its entries to the log; the caller commits.

    Parameters
    ----------
    connection
        Inside a writing transaction.
    crystals
        Crystals that records may speak of; known ones are left as they are.
    records
        Prepared and signed.
    signer
        The log's key, which signs the new checkpoint.
    blobs
        Large values by their SHA-256.
    """
    places = record_places(connection, records)
    fresh = _fresh_records(connection, records, places)
    if not fresh:
        return Written(0, 0, len(records), read_state(connection).frontier.size)
    for _, reason in unit_conflicts(connection, lacking_contents(fresh, places)):
        raise InputError(reason)
    made = store_contents(connection, crystals, fresh, blobs or {}, places)
    state = append(connection, [record.entry for record in fresh], signer)
    return Written(made, len(fresh), len(records) - len(fresh), state.frontier.size)


@dataclass(frozen=True)
class RecordPlace:
    """Where a record stands already.

    Parameters
    ----------
    id
        Its number.
    empty
        Whether its content was withdrawn.
    """

    id: int
    empty: bool


def record_places(
    connection: Connection, records: Sequence[PreparedRecord]
) -> dict[bytes, RecordPlace]:
    """Which of these records stand in the store, in any log's name."""
    table = schema.records
    found = {}
    for chunk in chunks(sorted({record.hash for record in records})):
        rows = connection.execute(
            select(table.c.id, table.c.hash, table.c.body.is_(None).label("empty")).where(
                table.c.hash.in_(chunk)
            )
        )
        found.update({bytes(row.hash): RecordPlace(row.id, bool(row.empty)) for row in rows})
    return found


def _fresh_records(
    connection: Connection, records: Sequence[PreparedRecord], places: dict[bytes, RecordPlace]
) -> list[PreparedRecord]:
    """Records that the store's own log does not speak of yet, each once."""
    table = schema.log_entries
    listed: set[bytes] = set()
    for chunk in chunks(sorted(places)):
        rows = connection.execute(select(table.c.record_hash).where(table.c.record_hash.in_(chunk)))
        listed |= {bytes(row.record_hash) for row in rows}
    fresh: dict[bytes, PreparedRecord] = {}
    for record in records:
        if record.hash not in listed:
            fresh.setdefault(record.hash, record)
    return list(fresh.values())


def lacking_contents(
    records: Sequence[PreparedRecord], places: dict[bytes, RecordPlace]
) -> list[PreparedRecord]:
    """Records whose contents are not in the store, or were withdrawn."""
    return [record for record in records if record.hash not in places or places[record.hash].empty]


def store_contents(
    connection: Connection,
    crystals: PreparedCrystals | None,
    records: Sequence[PreparedRecord],
    blobs: dict[bytes, bytes],
    places: dict[bytes, RecordPlace],
) -> int:
    """Store what a log's new entries speak of; gives how many crystals were new.

    Parameters
    ----------
    connection
        Inside a writing transaction, which also appends the entries to some log.
    crystals, records, blobs
        As for :func:`write`; only what the records need is stored. Numbers in units that do not
        compare stay in their records (:func:`~materialabs.store.values.unit_conflicts`).
    places
        Where records of these stand already (:func:`record_places`).
    """
    lacking = lacking_contents(records, places)
    _store_blobs(connection, lacking, blobs)
    ids, made = _crystal_ids(connection, crystals, records, lacking)
    numbers = _store_records(connection, lacking, ids, places)
    _touch(connection, records, ids)
    store_values(connection, lacking, numbers, ids)
    _store_literature(connection, lacking)
    _store_mentions(connection, lacking, numbers)
    _mark_superseded(connection, lacking)
    restored = {ids[r.crystal] for r in lacking if r.crystal and r.hash in places}
    refresh_sources(connection, restored)
    pack_full(connection)
    return made


def _crystal_ids(
    connection: Connection,
    crystals: PreparedCrystals | None,
    records: Sequence[PreparedRecord],
    lacking: Sequence[PreparedRecord],
) -> tuple[dict[bytes, int], int]:
    """Id of each crystal that the records speak of, and how many were new."""
    sources: dict[bytes, str] = {}
    for record in lacking:
        if record.crystal:
            sources.setdefault(record.crystal, record.source)
    made = _store_crystals(connection, crystals, sources) if crystals is not None else {}
    wanted = {record.crystal for record in records if record.crystal} - made.keys()
    table = schema.crystals
    ids = made | lookup(connection, table, table.c.hash, wanted)
    for name in sources:
        if name not in ids:
            raise InputError(
                f"The crystal {name.hex()} is not in the store: send it with its record."
            )
    return ids, len(made)


def _store_crystals(
    connection: Connection, crystals: PreparedCrystals, sources: dict[bytes, str]
) -> dict[bytes, int]:
    """Insert the crystals that have a source here and stand nowhere yet; give their ids."""
    table = schema.crystals
    wanted: dict[bytes, int] = {}
    for place, name in enumerate(crystals.hashes):
        if name in sources:
            wanted.setdefault(name, place)
    known = lookup(connection, table, table.c.hash, set(wanted))
    number = next_id(connection, table)
    places = {name: place for name, place in wanted.items() if name not in known}
    if not places:
        return {}
    new = {name: number + offset for offset, name in enumerate(places)}
    insert_rows(
        connection,
        table,
        [
            {"id": new[name], "hash": name, "content": crystals.blobs[place]}
            for name, place in places.items()
        ],
    )
    chosen = list(places.values())
    systems = _system_ids(connection, [crystals.systems[place] for place in chosen])
    blank = dict.fromkeys(schema.structures.c.keys())
    insert_rows(
        connection,
        schema.structures,
        [
            blank
            | crystals.structures[place]
            | {
                "id": new[crystals.hashes[place]],
                "name": crystal_name(crystals.hashes[place]),
                "system_id": systems[crystals.systems[place]["system"]],
                "source": sources[crystals.hashes[place]] or None,
                "modified": 0,
            }
            for place in chosen
        ],
    )
    return new


def _system_ids(connection: Connection, rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Ids of the sets of elements, made where missing, their counts raised."""
    table = schema.systems
    counts: dict[str, int] = {}
    documents = {}
    for row in rows:
        counts[row["system"]] = counts.get(row["system"], 0) + 1
        documents[row["system"]] = row
    ids = lookup(connection, table, table.c.system, set(documents))
    number = next_id(connection, table)
    missing = [name for name in documents if name not in ids]
    known = dict(ids)
    if missing:
        fresh = {name: number + place for place, name in enumerate(missing)}
        insert_rows(
            connection,
            table,
            [{"id": fresh[name], "count": counts[name], **documents[name]} for name in missing],
        )
        ids |= fresh
    for name in known:
        connection.execute(
            update(table).where(table.c.id == ids[name]).values(count=table.c.count + counts[name])
        )
    return ids


def _store_blobs(
    connection: Connection, records: Sequence[PreparedRecord], blobs: dict[bytes, bytes]
) -> None:
    """Insert the large values that records speak of; refuse records that speak of others."""
    wanted = {bytes.fromhex(one.blob) for record in records for one in record.properties
              if one.blob}  # fmt: skip
    if not wanted:
        return
    table = schema.blobs
    known: set[bytes] = set()
    for chunk in chunks(sorted(wanted)):
        rows = connection.execute(select(table.c.hash).where(table.c.hash.in_(chunk)))
        known |= {bytes(row.hash) for row in rows}
    fresh = []
    for name in sorted(wanted - known):
        if name not in blobs:
            raise InputError(f"The blob {name.hex()} is not in the store: send it with its record.")
        if hashlib.sha256(blobs[name]).digest() != name:
            raise IntegrityError(f"The blob {name.hex()} has another SHA-256 than its name.")
        fresh.append({"hash": name, "content": blobs[name]})
    if fresh:
        insert_rows(connection, table, fresh)


def _store_records(
    connection: Connection,
    records: Sequence[PreparedRecord],
    ids: dict[bytes, int],
    places: dict[bytes, RecordPlace],
) -> list[int]:
    """Insert records, or fill the empty rows of withdrawn ones; give their numbers."""
    table = schema.records
    number = next_id(connection, table)
    numbers: list[int] = []
    fresh: list[dict[str, Any]] = []
    for record in records:
        crystal = ids[record.crystal] if record.crystal else None
        if record.hash in places:
            numbers.append(places[record.hash].id)
            filled = {"body": record.body, "crystal_id": crystal}
            connection.execute(update(table).where(table.c.id == numbers[-1]).values(**filled))
            continue
        numbers.append(number + len(fresh))
        fresh.append(
            {
                "id": numbers[-1],
                "hash": record.hash,
                "body": record.body,
                "crystal_id": crystal,
                "superseded": False,
            }
        )
    if fresh:
        insert_rows(connection, table, fresh)
    return numbers


def _touch(
    connection: Connection, records: Sequence[PreparedRecord], ids: dict[bytes, int]
) -> None:
    """Date each crystal by its newest record."""
    newest: dict[int, int] = {}
    for record in records:
        if record.crystal:
            number = ids[record.crystal]
            newest[number] = max(newest.get(number, 0), entry_seconds(record.entry.time))
    if not newest:
        return
    mark_changed(connection, newest)
    table = schema.structures
    connection.execute(
        update(table)
        .where(table.c.id == bindparam("crystal"), table.c.modified < bindparam("moment"))
        .values(modified=bindparam("moment")),
        [{"crystal": number, "moment": moment} for number, moment in newest.items()],
    )


def _store_literature(connection: Connection, records: Sequence[PreparedRecord]) -> None:
    table = schema.literature
    wanted = {record.doi for record in records if record.doi}
    known = {
        row.doi
        for chunk in chunks(sorted(wanted))
        for row in connection.execute(select(table.c.doi).where(table.c.doi.in_(chunk)))
    }
    if wanted - known:
        insert_rows(connection, table, [{"doi": doi} for doi in sorted(wanted - known)])


def mentions_of(properties: Sequence[Property], supersedes: str) -> set[tuple[str, bytes]]:
    """(role, hash) of the blobs and the record that a record speaks of."""
    found = {("blob", bytes.fromhex(one.blob)) for one in properties if one.blob}
    if supersedes:
        found.add(("supersedes", bytes.fromhex(supersedes)))
    return found


def _store_mentions(
    connection: Connection, records: Sequence[PreparedRecord], numbers: Sequence[int]
) -> None:
    rows = [
        {"record_id": number, "role": role, "hash": name}
        for record, number in zip(records, numbers, strict=True)
        for role, name in sorted(mentions_of(record.properties, record.supersedes))
    ]
    if rows:
        insert_rows(connection, schema.mentions, rows)


def _mark_superseded(connection: Connection, records: Sequence[PreparedRecord]) -> None:
    """Records that another corrects, whichever came first, do not count for preferred values."""
    table, mentions = schema.records, schema.mentions
    corrected = {bytes.fromhex(record.supersedes) for record in records if record.supersedes}
    for chunk in chunks([record.hash for record in records]):
        rows = connection.execute(
            select(mentions.c.hash).where(
                mentions.c.role == "supersedes", mentions.c.hash.in_(chunk)
            )
        )
        corrected |= {bytes(row.hash) for row in rows}
    for chunk in chunks(sorted(corrected)):
        chosen = table.c.hash.in_(chunk) & table.c.body.is_not(None)
        connection.execute(update(table).where(chosen).values(superseded=True))
        rows = connection.execute(select(table.c.crystal_id).where(chosen))
        refresh_preferred(connection, {row.crystal_id for row in rows if row.crystal_id})
