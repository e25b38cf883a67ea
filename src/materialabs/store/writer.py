"""One transaction of a store: crystals, records, their derived rows, and the log together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from materialabs.ledger.notes import Signer
from materialabs.store import schema
from materialabs.store.derive import crystal_name, entry_seconds
from materialabs.store.log import append, read_state
from materialabs.store.observations import PreparedCrystals, PreparedRecord
from materialabs.store.rows import chunks, lookup, next_id
from materialabs.store.values import refresh_preferred, store_values


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
    ids: dict[bytes, int] = {}
    new_crystals = 0
    if crystals is not None:
        ids, new_crystals = _store_crystals(connection, crystals)
    if blobs:
        _store_blobs(connection, blobs)
    fresh = _fresh_records(connection, records)
    if not fresh:
        size = read_state(connection).frontier.size
        return Written(new_crystals, 0, len(records), size)
    ids |= lookup(
        connection, schema.crystals, schema.crystals.c.hash,
        {r.crystal for r in fresh if r.crystal and r.crystal not in ids},
    )  # fmt: skip
    numbers = _store_records(connection, fresh, ids)
    _touch(connection, fresh, ids)
    store_values(connection, fresh, numbers, ids)
    _store_literature(connection, fresh)
    _mark_superseded(connection, fresh)
    state = append(connection, [record.entry for record in fresh], signer)
    return Written(new_crystals, len(fresh), len(records) - len(fresh), state.frontier.size)


def _store_crystals(
    connection: Connection, crystals: PreparedCrystals
) -> tuple[dict[bytes, int], int]:
    """Insert crystals that are not there yet; give the id of each."""
    table = schema.crystals
    ids = lookup(connection, table, table.c.hash, set(crystals.hashes))
    number = next_id(connection, table)
    places: dict[bytes, int] = {}
    for place, name in enumerate(crystals.hashes):
        if name not in ids and name not in places:
            places[name] = place
    if not places:
        return ids, 0
    new = {name: number + offset for offset, name in enumerate(places)}
    connection.execute(
        insert(table),
        [
            {"id": new[name], "hash": name, "content": crystals.blobs[place]}
            for name, place in places.items()
        ],
    )
    chosen = list(places.values())
    systems = _system_ids(connection, [crystals.systems[place] for place in chosen])
    blank = dict.fromkeys(schema.structures.c.keys())
    connection.execute(
        insert(schema.structures),
        [
            blank
            | crystals.structures[place]
            | {
                "id": new[crystals.hashes[place]],
                "name": crystal_name(crystals.hashes[place]),
                "system_id": systems[crystals.systems[place]["system"]],
                "modified": 0,
            }
            for place in chosen
        ],
    )
    return ids | new, len(new)


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
        connection.execute(
            insert(table),
            [{"id": fresh[name], "count": counts[name], **documents[name]} for name in missing],
        )
        ids |= fresh
    for name in known:
        connection.execute(
            update(table).where(table.c.id == ids[name]).values(count=table.c.count + counts[name])
        )
    return ids


def _store_blobs(connection: Connection, blobs: dict[bytes, bytes]) -> None:
    table = schema.blobs
    known: set[bytes] = set()
    for chunk in chunks(list(blobs)):
        rows = connection.execute(select(table.c.hash).where(table.c.hash.in_(chunk)))
        known |= {bytes(row.hash) for row in rows}
    fresh = [{"hash": name, "content": blobs[name]} for name in blobs if name not in known]
    if fresh:
        connection.execute(insert(table), fresh)


def _fresh_records(
    connection: Connection, records: Sequence[PreparedRecord]
) -> list[PreparedRecord]:
    """Records that are not there yet, each once."""
    table = schema.records
    known = lookup(connection, table, table.c.hash, {record.hash for record in records})
    fresh: dict[bytes, PreparedRecord] = {}
    for record in records:
        if record.hash not in known:
            fresh.setdefault(record.hash, record)
    return list(fresh.values())


def _store_records(
    connection: Connection, records: Sequence[PreparedRecord], ids: dict[bytes, int]
) -> list[int]:
    table = schema.records
    number = next_id(connection, table)
    numbers = list(range(number, number + len(records)))
    connection.execute(
        insert(table),
        [
            {
                "id": place,
                "hash": record.hash,
                "body": record.body,
                "crystal_id": ids[record.crystal] if record.crystal else None,
                "superseded": False,
            }
            for place, record in zip(numbers, records, strict=True)
        ],
    )
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
        connection.execute(insert(table), [{"doi": doi} for doi in sorted(wanted - known)])


def _mark_superseded(connection: Connection, records: Sequence[PreparedRecord]) -> None:
    """Records that a new one corrects no longer count for preferred values."""
    table = schema.records
    corrected = {bytes.fromhex(record.supersedes) for record in records if record.supersedes}
    if not corrected:
        return
    connection.execute(update(table).where(table.c.hash.in_(corrected)).values(superseded=True))
    rows = connection.execute(select(table.c.crystal_id).where(table.c.hash.in_(corrected)))
    refresh_preferred(connection, {row.crystal_id for row in rows if row.crystal_id})
