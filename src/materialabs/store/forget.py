"""Take a withdrawn record's content out of the store, and out of all that was derived from it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, delete, func, select, update

from materialabs.ledger.entries import LogEntry
from materialabs.store import schema
from materialabs.store.blocks.packing import mark_changed, renew_block
from materialabs.store.derive import entry_seconds
from materialabs.store.observations import read_record
from materialabs.store.records import Record
from materialabs.store.rows import chunks
from materialabs.store.units import base_unit
from materialabs.store.values import (
    level_key,
    narrow,
    refresh_preferred,
    refresh_sources,
    value_row,
)


def forget(connection: Connection, name: bytes) -> bool:
    """Remove a record's body, values, and the crystal and blobs that no other record needs.

    Its row stays, empty, so that the log's entry still has its counterpart.

    Parameters
    ----------
    connection
        Inside a writing transaction, which also appends the tombstone to some log.
    name
        SHA-256 of the record.

    Returns
    -------
    bool
        Whether there was anything to remove.
    """
    table = schema.records
    row = connection.execute(
        select(table.c.id, table.c.body, table.c.crystal_id).where(table.c.hash == name)
    ).one_or_none()
    if row is None or row.body is None:
        return False
    if connection.engine.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")
    record = read_record(bytes(row.body))
    connection.execute(
        update(table)
        .where(table.c.id == row.id)
        .values(body=None, crystal_id=None, superseded=False)
    )
    values = schema.property_values
    connection.execute(delete(values).where(values.c.record_id == row.id))
    _forget_mentions(connection, row.id, record)
    if row.crystal_id is not None:
        _forget_crystal(connection, row.crystal_id)
        renew_block(connection, row.crystal_id)
    _forget_names(connection, record)
    _forget_publication(connection, record.doi)
    return True


def _forget_mentions(connection: Connection, number: int, record: Record) -> None:
    """Let go of the blobs, and let the record that this one corrected count again."""
    table = schema.mentions
    connection.execute(delete(table).where(table.c.record_id == number))
    for name in {bytes.fromhex(one.blob) for one in record.properties if one.blob}:
        if not _stands(connection, table.c.hash, (table.c.hash == name) & (table.c.role == "blob")):
            connection.execute(delete(schema.blobs).where(schema.blobs.c.hash == name))
    if not record.supersedes:
        return
    corrected = bytes.fromhex(record.supersedes)
    chosen = (table.c.hash == corrected) & (table.c.role == "supersedes")
    if _stands(connection, table.c.hash, chosen):
        return
    records = schema.records
    connection.execute(update(records).where(records.c.hash == corrected).values(superseded=False))
    rows = connection.execute(select(records.c.crystal_id).where(records.c.hash == corrected))
    refresh_preferred(connection, {row.crystal_id for row in rows if row.crystal_id})


def _forget_crystal(connection: Connection, number: int) -> None:
    """Remove a crystal that no record needs; derive the row of one that others need again."""
    records, structures, systems = schema.records, schema.structures, schema.systems
    if _stands(connection, records.c.id, records.c.crystal_id == number):
        refresh_preferred(connection, {number})
        refresh_sources(connection, {number})
        moment = newest_moment(connection, number)
        connection.execute(
            update(structures).where(structures.c.id == number).values(modified=moment)
        )
        return
    system = connection.execute(
        select(structures.c.system_id).where(structures.c.id == number)
    ).scalar_one()
    connection.execute(delete(structures).where(structures.c.id == number))
    connection.execute(delete(schema.crystals).where(schema.crystals.c.id == number))
    connection.execute(
        update(systems).where(systems.c.id == system).values(count=systems.c.count - 1)
    )
    connection.execute(delete(systems).where(systems.c.id == system, systems.c.count == 0))


def newest_moment(connection: Connection, crystal: int) -> int:
    """When the newest entry, of any log, for a record of a crystal was signed."""
    records = schema.records
    rows = connection.execute(select(records.c.hash).where(records.c.crystal_id == crystal))
    names = [bytes(row.hash) for row in rows]
    newest = 0
    for table in (schema.log_entries, schema.mirrored_entries):
        for chunk in chunks(names):
            leaves = connection.execute(select(table.c.leaf).where(table.c.record_hash.in_(chunk)))
            entries = [LogEntry.parse(bytes(row.leaf)) for row in leaves]
            moments = [entry_seconds(one.time) for one in entries if one.kind == "record"]
            newest = max([newest, *moments])
    return newest


def _forget_names(connection: Connection, record: Record) -> None:
    """Remove names and levels that no value has any more; derive the base units of the others."""
    values = schema.property_values
    kept = narrow(record.properties)
    for name in {one.name for one in kept}:
        table = schema.property_names
        row = connection.execute(select(table).where(table.c.name == name)).one()
        if _stands(connection, values.c.id, values.c.name_id == row.id):
            _refresh_unit(connection, name, row.id, row.unit)
        else:
            connection.execute(delete(table).where(table.c.id == row.id))
    for level in {level_key(one.method.level) for one in kept if one.method.level}:
        levels = schema.levels
        number = connection.execute(
            select(levels.c.id).where(levels.c.document == level)
        ).scalar_one()
        if not _stands(connection, values.c.id, values.c.level_id == number):
            connection.execute(delete(levels).where(levels.c.id == number))


def _refresh_unit(connection: Connection, name: str, number: int, unit: str) -> None:
    """Keep values in the unit of the first record that stands, where none is registered."""
    values, records = schema.property_values, schema.records
    first = connection.execute(
        select(func.min(values.c.record_id)).where(values.c.name_id == number)
    ).scalar_one()
    body = connection.execute(select(records.c.body).where(records.c.id == first)).scalar_one()
    found = next(one for one in read_record(bytes(body)).properties if one.name == name)
    base = base_unit(name, found.unit)
    if base == unit:
        return
    names = schema.property_names
    connection.execute(update(names).where(names.c.id == number).values(unit=base))
    rows = connection.execute(
        select(values.c.record_id).where(values.c.name_id == number).distinct()
    ).all()
    for row in rows:
        _convert_values(connection, row.record_id, name, number, base)


def _convert_values(connection: Connection, record: int, name: str, number: int, base: str) -> None:
    """Write the values of one name in one record in another base unit."""
    values, records = schema.property_values, schema.records
    body = connection.execute(select(records.c.body).where(records.c.id == record)).scalar_one()
    kept = narrow(read_record(bytes(body)).properties)
    rows = connection.execute(
        select(values).where(values.c.record_id == record).order_by(values.c.id)
    ).all()
    for one, row in zip(kept, rows, strict=True):
        if one.name == name:
            mark_changed(connection, [row.crystal_id] if row.crystal_id else [])
            levels = {level_key(one.method.level): row.level_id} if one.method.level else {}
            fresh = value_row(one, record, row.crystal_id, {name: (number, base)}, levels)
            connection.execute(update(values).where(values.c.id == row.id).values(**fresh))


def _forget_publication(connection: Connection, doi: str) -> None:
    """Remove a publication that no record comes from any more."""
    if not doi:
        return
    body = schema.records.c.body
    needle = b'"doi":' + _json_text(doi)
    if not _stands(connection, schema.records.c.id, _holds(connection, body, needle)):
        connection.execute(delete(schema.literature).where(schema.literature.c.doi == doi))


def _holds(connection: Connection, column: Column[Any], needle: bytes) -> ColumnElement[bool]:
    """Whether a column of bytes holds these bytes."""
    if connection.engine.dialect.name == "sqlite":
        return func.instr(column, needle) > 0
    return func.position(_within(column, needle)) > 0


def _within(column: Column[Any], needle: bytes) -> ColumnElement[Any]:
    from sqlalchemy import LargeBinary, literal

    return literal(needle, LargeBinary()).op("IN")(column)


def _json_text(text: str) -> bytes:
    from materialabs.store.canonical import canonical_json

    return canonical_json(text)


def _stands(connection: Connection, column: Column[Any], chosen: ColumnElement[bool]) -> bool:
    """Whether there is a row of this kind."""
    return connection.execute(select(column).where(chosen).limit(1)).first() is not None
