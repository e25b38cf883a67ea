"""Records with all that proves them, as one file for a reviewer."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from materialabs.errors import IntegrityError, NotFound
from materialabs.ledger.merkle import inclusion_proof
from materialabs.store import schema
from materialabs.store.database import reading
from materialabs.store.log import DatabaseHashes, positions_of, read_leaves, read_state
from materialabs.store.observations import read_record
from materialabs.store.store import Store

BUNDLE_VERSION = 1


def bundle(store: Store, records: Sequence[str]) -> dict[str, Any]:
    """Records by their ids, their crystals, proofs, the log's key entries and its checkpoint.

    ``verify_bundle.py`` checks the result without this package.
    """
    with reading(store.engine) as connection:
        state = read_state(connection)
        size = state.frontier.size
        return {
            "version": BUNDLE_VERSION,
            "checkpoint": state.note,
            "keys": _key_proofs(connection, size),
            "records": [_record(connection, name, size) for name in records],
        }


def _key_proofs(connection: Connection, size: int) -> list[dict[str, Any]]:
    table = schema.log_entries
    rows = connection.execute(
        select(table.c.position).where(table.c.record_hash.is_(None)).order_by(table.c.position)
    )
    return [_proof(connection, int(row.position), size) for row in rows]


def _record(connection: Connection, name: str, size: int) -> dict[str, Any]:
    try:
        digest = bytes.fromhex(name)
    except ValueError as error:
        raise NotFound(f"{name!r} is not the id of a record.") from error
    index = positions_of(connection, digest)[0]
    table = schema.records
    body = connection.execute(
        select(table.c.body).where(table.c.hash == digest)
    ).scalar_one_or_none()
    if body is None:
        raise IntegrityError(f"The record {name} was withdrawn.")
    document: dict[str, Any] = {
        "body": _text(bytes(body)),
        "proof": _proof(connection, index, size),
    }
    crystal = read_record(bytes(body)).crystal
    if crystal:
        content = connection.execute(
            select(schema.crystals.c.content).where(
                schema.crystals.c.hash == bytes.fromhex(crystal)
            )
        ).scalar_one()
        document["crystal"] = _text(bytes(content))
    return document


def _proof(connection: Connection, index: int, size: int) -> dict[str, Any]:
    path = inclusion_proof(DatabaseHashes(connection), index, size)
    leaf = read_leaves(connection, index, index + 1)[0]
    return {"index": index, "leaf": _text(leaf), "path": [_text(one) for one in path]}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
