"""What is handed to a store: crystals and records, prepared outside any transaction.

Preparing is the expensive part (canonical bytes, hashes, symmetry, signatures); it needs no lock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from materialabs.crystals.batch import Crystals
from materialabs.crystals.blobs import rounded, to_blobs
from materialabs.crystals.compositions import Compositions
from materialabs.ledger.entries import EntrySigner, LogEntry, record_entry
from materialabs.store.derive import structure_rows, system_rows
from materialabs.store.records import Property, Record, record_id


@dataclass(frozen=True)
class PreparedCrystals:
    """Crystals as they will stand in the store.

    Parameters
    ----------
    blobs, hashes
        The bytes of each crystal and their SHA-256.
    structures, systems
        The derived rows of each crystal.
    """

    blobs: list[bytes]
    hashes: list[bytes]
    structures: list[dict[str, Any]]
    systems: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.blobs)


def prepare_crystals(crystals: Crystals) -> PreparedCrystals:
    """Bytes, hashes and derived rows of a batch."""
    blobs = to_blobs(crystals)
    rows = structure_rows(rounded(crystals))
    return PreparedCrystals(
        blobs,
        [hashlib.sha256(blob).digest() for blob in blobs],
        rows,
        system_rows(crystals.compositions),
    )


@dataclass(frozen=True)
class PreparedRecord:
    """A record as it will stand in the store, with its signed entry.

    Parameters
    ----------
    body, hash
        Canonical JSON and its SHA-256.
    crystal
        SHA-256 of its crystal, or nothing.
    properties
        Its values, for the narrow table.
    doi, supersedes, source
        Where it was published, the record that it corrects, and its source's own identifier.
    entry
        The contributor's signed entry.
    """

    body: bytes
    hash: bytes
    crystal: bytes | None
    properties: tuple[Property, ...]
    doi: str
    supersedes: str
    source: str
    entry: LogEntry


def prepare_record(
    record: Record, signer: EntrySigner, time: str | None = None, licence: str = ""
) -> PreparedRecord:
    """Canonical bytes, id and signature of a record, given under a licence."""
    body = record.canonical()
    return signed_record(record, body, record_entry(record_id(body), signer, time, licence))


def signed_record(record: Record, body: bytes, entry: LogEntry) -> PreparedRecord:
    """A record whose entry was signed elsewhere."""
    return PreparedRecord(
        body,
        bytes.fromhex(record_id(body)),
        bytes.fromhex(record.crystal) if record.crystal else None,
        record.properties,
        record.doi,
        record.supersedes,
        record.source,
        entry,
    )


def read_record(body: bytes) -> Record:
    """The record behind its canonical bytes."""
    return Record.from_document(json.loads(body))


def records_of(
    crystals: Crystals,
    properties: Sequence[tuple[Property, ...]],
    *,
    doi: str = "",
    parents: Sequence[tuple[str, ...]] | None = None,
) -> list[Record]:
    """One record for each crystal of a batch, with its properties and its source's id."""
    blobs = to_blobs(crystals)
    formulas = Compositions.reduced_formulas(crystals.compositions)
    sources = crystals.ids() if "id" in crystals.columns else [""] * len(crystals)
    return [
        Record(
            properties=values,
            crystal=hashlib.sha256(blob).hexdigest(),
            composition=formula,
            doi=doi,
            source=source,
            parents=() if parents is None else parents[index],
        )
        for index, (blob, formula, source, values) in enumerate(
            zip(blobs, formulas, sources, properties, strict=True)
        )
    ]
