"""Records that a contributor signed elsewhere: checked whole before any of them is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select

from materialabs.crystals.batch import Crystals
from materialabs.crystals.blobs import from_blobs, to_blobs
from materialabs.errors import InputError, IntegrityError
from materialabs.ledger.entries import LogEntry
from materialabs.store import schema
from materialabs.store.database import writing
from materialabs.store.log import read_keyring, read_state
from materialabs.store.observations import (
    PreparedCrystals,
    PreparedRecord,
    prepare_crystals,
    signed_record,
)
from materialabs.store.records import Record, record_id
from materialabs.store.rows import chunks
from materialabs.store.shapes import check_shape
from materialabs.store.store import Store
from materialabs.store.writer import Written, write

MOST_SITES: Final = 1000
"""In one crystal that is sent; finding the symmetry of so many takes about 0.2 s."""

MOST_SITES_IN_ALL: Final = 100_000
"""In all crystals of one upload."""

LONGEST_VECTOR: Final = 1e6
"""Of a cell, in angstrom; its volume and density stay well within a float."""


class ReplayError(IntegrityError):
    """An entry that the log holds already."""

    default_code = "upload.replayed"


@dataclass(frozen=True)
class Upload:
    """What a contributor sends.

    Parameters
    ----------
    records
        Documents of records.
    leaves
        The signed entry of each record, as the log will hold it.
    crystals, blobs
        Bytes of the crystals and large values that the records speak of and the store may not
        have.
    """

    records: Sequence[dict[str, Any]]
    leaves: Sequence[bytes]
    crystals: Sequence[bytes]
    blobs: Sequence[bytes] = ()


def accept(
    store: Store,
    upload: Upload,
    contents: Callable[[Upload], PreparedCrystals | None] | None = None,
) -> Written:
    """Store an upload, all of it or nothing.

    Parameters
    ----------
    store
        Where to.
    upload
        What was sent.
    contents
        Prepares its crystals elsewhere; :func:`prepared_contents` by default.

    Raises
    ------
    IntegrityError
        Naming the first signature, key or hash that is wrong.
    """
    ready = (contents or prepared_contents)(upload)
    prepared = prepared_records(upload)
    blobs = {hashlib.sha256(content).digest(): content for content in upload.blobs}
    identity = store.identity
    with writing(store.engine) as connection:
        ring = read_keyring(connection, identity.log.public)
        size = read_state(connection).frontier.size
        for offset, record in enumerate(prepared):
            record.entry.verify(ring.public_at(record.entry.contributor, size + offset))
        _refuse_replays(connection, prepared)
        written = write(connection, ready, prepared, identity.signer, blobs)
    store.publish()
    return written


def prepared_contents(upload: Upload) -> PreparedCrystals | None:
    """The crystals of an upload, checked, with what the store derives from them."""
    crystals = read_crystals(upload.crystals)
    _check_sizes(crystals)
    return prepare_crystals(crystals) if len(crystals) else None


def prepared_records(upload: Upload) -> list[PreparedRecord]:
    """The records of an upload, each checked against its entry."""
    return [_prepare(*pair) for pair in zip(upload.records, upload.leaves, strict=True)]


def read_crystals(contents: Sequence[bytes]) -> Crystals:
    """Crystals that were sent; only the one form that a crystal's name stands for is taken."""
    try:
        crystals = from_blobs(contents)
    except (OverflowError, RecursionError, MemoryError) as error:
        raise IntegrityError("A crystal that was sent is damaged.") from error
    if to_blobs(crystals) != list(contents):
        raise IntegrityError("A crystal is not in the one form that its name stands for.")
    return crystals


def _check_sizes(crystals: Crystals) -> None:
    """Refuse crystals whose symmetry would be sought for minutes, and cells without measure."""
    if not len(crystals):
        return
    if int(crystals.counts.max()) > MOST_SITES or int(crystals.counts.sum()) > MOST_SITES_IN_ALL:
        raise InputError(
            f"An upload holds crystals of at most {MOST_SITES} sites, {MOST_SITES_IN_ALL} in all: "
            "send several, or ingest larger ones where the store is."
        )
    if float(abs(crystals.lattice).max()) > LONGEST_VECTOR:
        raise InputError(f"A cell is longer than {LONGEST_VECTOR:g} angstrom.")


def _prepare(document: dict[str, Any], leaf: bytes) -> PreparedRecord:
    check_shape(document)
    try:
        record = Record.from_document(document)
        body = record.canonical()
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"A record cannot be read: {error}") from error
    entry = LogEntry.parse(leaf)
    if entry.kind != "record" or entry.record != record_id(body):
        raise IntegrityError("An entry speaks of another record than the one it came with.")
    return signed_record(record, body, entry)


def _refuse_replays(connection: Connection, records: Sequence[PreparedRecord]) -> None:
    table = schema.log_entries
    sent = {(record.hash, record.entry.contributor) for record in records}
    if len(sent) < len(records):
        raise ReplayError("An upload holds the same record twice.", code="upload.replayed")
    for chunk in chunks([record.hash for record in records]):
        rows = connection.execute(
            select(table.c.record_hash, table.c.contributor).where(table.c.record_hash.in_(chunk))
        )
        for row in rows:
            if (bytes(row.record_hash), row.contributor) in sent:
                name = bytes(row.record_hash).hex()
                raise ReplayError(f"The log holds this contributor's record {name} already.")
