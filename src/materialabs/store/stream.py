"""Store records without end: the next are signed while the ones before them are written."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Final

from materialabs.ledger.entries import (
    DOMAIN,
    LogEntry,
    check_licence,
    record_fields,
    record_statement,
    timestamp,
)
from materialabs.ledger.signing import SigningPool
from materialabs.store.observations import PreparedRecord, signed_record
from materialabs.store.records import Record, record_id
from materialabs.store.store import Store
from materialabs.store.writer import Written

FIRST_BATCH: Final = 2_000
"""Records in the first transaction, before it is known how fast the machine is."""

LARGEST_BATCH: Final = 20_000
"""Records in one transaction, however fast the machine is."""

COMMIT_SECONDS: Final = 0.5
"""Of work in one transaction: what a power cut may take, beside what is being signed."""

AHEAD: Final = 2
"""Batches that are being signed while one is written."""

WRITING_CORES: Final = 2
"""Of a machine: one writes records as JSON, one stores them; all others sign."""


def signing_processes(cores: int) -> int:
    """How many processes sign on a machine of so many cores."""
    return max(cores - WRITING_CORES, min(cores - 1, 1))


def add_stream(
    store: Store, records: Iterable[Record], *, processes: int, licence: str = ""
) -> Written:
    """Store records that have a composition only, or whose crystals are in the store already.

    Each transaction holds about half a second of work and is on the disk when the next begins.
    All records of one batch carry the time at which they were signed.

    Parameters
    ----------
    store
        Where to.
    records
        As many as you like; they are read as they are needed.
    processes
        That sign (:func:`signing_processes`); none to sign here.
    licence
        Under which they are given.
    """
    with SigningPool(store.identity.contributor, processes) as pool:
        return _Stream(store, pool, check_licence(licence)).run(iter(records))


@dataclass(frozen=True)
class _Batch:
    """Records whose signatures are under way."""

    records: list[Record]
    bodies: list[bytes]
    names: list[str]
    time: str
    signatures: list[Future[list[bytes]]]


class _Stream:
    """The state of one :func:`add_stream`."""

    def __init__(self, store: Store, pool: SigningPool, licence: str) -> None:
        self.store = store
        self.pool = pool
        self.licence = licence
        self.contributor = store.identity.contributor.id
        self.size = FIRST_BATCH
        self.total = Written(0, 0, 0, 0)

    def run(self, source: Iterator[Record]) -> Written:
        """Sign ahead, write behind."""
        waiting: deque[_Batch] = deque()
        with ThreadPoolExecutor(1) as writer:
            written: Future[None] | None = None
            while part := list(islice(source, self.size)):
                waiting.append(self._begin(part))
                if len(waiting) > AHEAD:
                    if written is not None:
                        written.result()
                    written = writer.submit(self._write, waiting.popleft())
            if written is not None:
                written.result()
        for batch in waiting:
            self._write(batch)
        return self.total

    def _begin(self, records: list[Record]) -> _Batch:
        bodies = [record.canonical() for record in records]
        names = [record_id(body) for body in bodies]
        moment = timestamp()
        messages = [
            DOMAIN + record_statement(self.contributor, moment, name, self.licence)
            for name in names
        ]
        return _Batch(records, bodies, names, moment, self.pool.sign(messages))

    def _write(self, batch: _Batch) -> None:
        prepared = self._finish(batch)
        start = time.perf_counter()
        done = self.store.commit(None, prepared, {})
        seconds = time.perf_counter() - start
        self.size = round(len(prepared) * min(COMMIT_SECONDS / seconds, 2.0))
        self.size = max(1, min(self.size, LARGEST_BATCH))
        self.total = Written(
            self.total.crystals + done.crystals,
            self.total.records + done.records,
            self.total.known + done.known,
            done.size,
        )

    def _finish(self, batch: _Batch) -> list[PreparedRecord]:
        signatures = (one for part in batch.signatures for one in part.result())
        parts = zip(batch.records, batch.bodies, batch.names, signatures, strict=True)
        return [
            signed_record(record, body, self._entry(batch.time, name, by))
            for record, body, name, by in parts
        ]

    def _entry(self, time: str, name: str, signature: bytes) -> LogEntry:
        fields = record_fields(name, self.licence)
        return LogEntry("record", self.contributor, time, fields, signature)
