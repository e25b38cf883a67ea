"""Records as JSON lines: what a store exports so that another takes them in with the same ids.

Each line holds a record's id, the record, the bytes of its crystal and of its blobs in base64, the
signed entries of the logs that it came from (with the licence under which its contributor gave it),
and its crystal as plain numbers for other readers::

    {"id": ..., "record": {...}, "content": ..., "blobs": {...}, "entries": [...],
     "structure": {...}}
"""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import json
import lzma
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from materialabs.crystals.batch import Crystals
from materialabs.crystals.blobs import from_blobs, to_blobs
from materialabs.errors import IntegrityError, MaterialabsError
from materialabs.ledger.entries import LogEntry, any_of
from materialabs.progress import track
from materialabs.store.canonical import strict_json
from materialabs.store.observations import prepare_crystals, prepare_record
from materialabs.store.records import Record
from materialabs.store.store import Store
from materialabs.store.writer import Written

RECORDS_AT_ONCE: Final = 1000
"""Records in one transaction."""

LONGEST_LINE: Final = 256 << 20
"""Bytes of one line: a record with its blobs."""

HEAD: Final = 4096

_PACKED: Final[dict[str, Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


@dataclass
class _Batch:
    """Lines that go into one transaction."""

    records: list[Record] = field(default_factory=list)
    licences: list[str] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[bytes, bytes] = field(default_factory=dict)


def is_record_lines(path: str | Path) -> bool:
    """Whether a file holds records as this store exports them."""
    place = Path(path)
    if ".jsonl" not in place.name.lower() or not place.is_file():
        return False
    try:
        with _opened(place) as stream:
            head = stream.read(HEAD)
    except (OSError, EOFError, lzma.LZMAError):
        return False
    return bool(head.startswith(b'{"id":"') and b'"record":{' in head[:200])


def _opened(path: Path) -> Any:
    return _PACKED.get(path.suffix.lower(), open)(path, "rb")


def ingest_record_lines(
    store: Store,
    path: str | Path,
    count: Callable[[Written], None],
    *,
    licence: str = "",
    progress: bool | None = False,
) -> list[tuple[str, str]]:
    """Store the records of a file under their own ids; gives (place, reason) of refused lines.

    Parameters
    ----------
    store
        Where to; its contributor signs the records.
    path
        JSON lines, packed or not.
    count
        Told of each transaction.
    licence
        Of records that come without one.
    progress
        Show a bar.
    """
    refused: list[tuple[str, str]] = []
    batch = _Batch()
    for place, line in track(_lines(Path(path)), label="ingesting records", show=progress):
        try:
            _take(line, batch, licence)
        except (MaterialabsError, ValueError, KeyError, TypeError, AttributeError) as error:
            refused.append((place, f"is not a sound record: {error}"))
        if len(batch.records) == RECORDS_AT_ONCE:
            count(_store(store, batch))
            batch = _Batch()
    if batch.records:
        count(_store(store, batch))
    return refused


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    with _opened(path) as stream:
        number = 0
        while line := stream.readline(LONGEST_LINE):
            number += 1
            if line.strip():
                yield f"{path}, line {number}", line


def _take(line: bytes, batch: _Batch, licence: str) -> None:
    """Check one line against its hashes and add it to the batch."""
    document = json.loads(line)
    record = Record.from_document(document["record"])
    if record.id != document["id"]:
        raise IntegrityError("the record does not hash to its id.")
    content = base64.b64decode(document["content"], validate=True) if record.crystal else b""
    if record.crystal and hashlib.sha256(content).hexdigest() != record.crystal:
        raise IntegrityError("the crystal is not the record's own.")
    stated = _licence(document.get("entries", ()), record.id)
    blobs = {}
    for name in (one.blob for one in record.properties if one.blob):
        blobs[bytes.fromhex(name)] = base64.b64decode(document["blobs"][name], validate=True)
    if any(hashlib.sha256(blob).digest() != name for name, blob in blobs.items()):
        raise IntegrityError("a blob is not the record's own.")
    if record.crystal:
        if to_blobs(from_blobs([content])) != [content]:
            raise IntegrityError("the crystal is not in the one form that its name stands for.")
        batch.contents[record.crystal] = content
    batch.blobs |= blobs
    batch.records.append(record)
    batch.licences.append(stated or licence)


def _licence(entries: Sequence[Mapping[str, Any]], record: str) -> str:
    """Under which a record was given where it comes from."""
    leaves = [base64.b64decode(one["leaf"], validate=True) for one in entries]
    told = [LogEntry.parse(leaf) for leaf in leaves]
    if any(one.record != record for one in told):
        raise IntegrityError("an entry speaks of another record.")
    return any_of(told)


def _store(store: Store, batch: _Batch) -> Written:
    contents = list(batch.contents.values())
    crystals = from_blobs(contents) if contents else None
    if crystals is not None and to_blobs(crystals) != contents:
        # site columns of different kinds change one another in one batch
        return _store_singly(store, batch)
    return _commit(store, crystals, batch)


def _commit(store: Store, crystals: Crystals | None, batch: _Batch) -> Written:
    signer = store.identity.contributor
    prepared = None if crystals is None else prepare_crystals(crystals)
    records = [
        prepare_record(record, signer, licence=licence)
        for record, licence in zip(batch.records, batch.licences, strict=True)
    ]
    return store.commit(prepared, records, batch.blobs)


def _store_singly(store: Store, batch: _Batch) -> Written:
    total = Written(0, 0, 0, 0)
    for record, licence in zip(batch.records, batch.licences, strict=True):
        content = batch.contents.get(record.crystal)
        crystals = None if content is None else from_blobs([content])
        done = _commit(store, crystals, _Batch([record], [licence], blobs=batch.blobs))
        total = Written(
            total.crystals + done.crystals,
            total.records + done.records,
            total.known + done.known,
            done.size,
        )
    return total


def record_line(
    name: str,
    body: bytes,
    content: bytes | None,
    blobs: dict[str, bytes],
    entries: list[dict[str, Any]],
    structure: dict[str, Any] | None,
) -> str:
    """One line; the record stands in it byte by byte as it is hashed."""
    rest: dict[str, Any] = {}
    if content is not None:
        rest["content"] = _base64(content)
    if blobs:
        rest["blobs"] = {key: _base64(blob) for key, blob in blobs.items()}
    if entries:
        rest["entries"] = entries
    if structure is not None:
        rest["structure"] = structure
    tail = strict_json(rest)[1:]
    comma = "," if rest else ""
    return f'{{"id":"{name}","record":{body.decode()}{comma}{tail}\n'


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
