"""Signed entries a second through the store's own transaction, and what proofs cost beside.

Each record (a composition with one value) is written as canonical JSON, signed by its
contributor, and stored with its values and its entry of the log in a transaction that ends with
the log's signed checkpoint and an fsync (SQLite, WAL, synchronous=FULL); a transaction holds about
half a second of work. The records stand in memory as objects when the clock starts. Afterwards the
whole store is verified (every signature, hash, value and the tree), and the run fails if anything
is wrong. Takes about a minute with the default 300,000 entries.

    python -m benchmarks.ledger [--quick] [--entries N] [--processes N] [--folder DISK]
"""

from __future__ import annotations

from benchmarks.harness import Headline, measure, pin_threads, report

pin_threads()

import argparse
import json
import os
import random
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from materialabs.ledger.merkle import inclusion_proof, leaf_hash, verify_inclusion
from materialabs.store.database import reading
from materialabs.store.log import DatabaseHashes, read_leaves, read_state
from materialabs.store.records import Method, Property, Record
from materialabs.store.store import Store
from materialabs.store.stream import add_stream, signing_processes
from materialabs.store.verify import verify

ENTRIES = 300_000
QUICK_ENTRIES = 4_000
PROOFS = 300
BAR, AIM = 20_000.0, 60_000.0


def made_records(count: int) -> list[Record]:
    """Measured band gaps of made-up samples, all different."""
    source = random.Random(7)
    method = Method("experiment")
    formulas = ["GaN", "ZnO", "Li3PS4", "LiFePO4", "Fe2O3", "NaCl", "MgO", "SrTiO3"]
    return [
        Record(
            (Property("band_gap", round(source.uniform(0, 9), 4), "eV", method),),
            composition=source.choice(formulas),
            source=f"sample-{place}",
        )
        for place in range(count)
    ]


def write_all(store: Store, records: list[Record], processes: int) -> dict[str, Any]:
    """Store all records and give the rate, with the processor time of this process beside."""
    store.identity  # noqa: B018 - the keys are made before the clock starts
    start, used = time.perf_counter(), time.process_time()
    done = add_stream(store, records, processes=processes)
    seconds = time.perf_counter() - start
    assert done.records == len(records)
    return {
        "name": f"write, {processes} signing processes",
        "entries": done.records,
        "entries_per_s": done.records / seconds,
        "main_process_us_per_entry": (time.process_time() - used) / done.records * 1e6,
    }


def prove(store: Store, size: int) -> list[dict[str, Any]]:
    """Inclusion proofs of random entries: making them, and checking them."""
    places = random.Random(3).sample(range(size), min(PROOFS, size))
    with reading(store.engine) as connection:
        state = read_state(connection)
        root = state.frontier.root()
        hashes = DatabaseHashes(connection)
        made = measure(
            lambda: [inclusion_proof(hashes, place, state.frontier.size) for place in places],
            repeats=1, warm=0,
        )  # fmt: skip
        leaves = [read_leaves(connection, place, place + 1)[0] for place in places]

    def check() -> None:
        for place, leaf, path in zip(places, leaves, made.result, strict=True):
            verify_inclusion(leaf_hash(leaf), place, state.frontier.size, path, root)

    return [
        {"name": "make inclusion proofs", "proofs_per_s": len(places) / made.median},
        {"name": "check inclusion proofs", "proofs_per_s": len(places) / measure(check).median},
    ]


def verified(store: Store, keys: Path, size: int) -> dict[str, Any]:
    """Check everything: signatures, hashes, the tree, and every derived value."""
    start = time.perf_counter()
    verdict = verify(store, keys=keys, everything=True)
    seconds = time.perf_counter() - start
    if not verdict.good or verdict.size != size:
        raise SystemExit(f"The store does not verify: {verdict.problems}")
    return {"name": "verify everything", "entries_per_s": size / seconds}


def assert_durable(store: Store) -> None:
    """Fail unless every connection of the store waits for the disk at each commit."""
    with reading(store.engine) as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        level = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    if (mode, level) != ("wal", 2):
        raise SystemExit(f"The store is not durable: {mode}, synchronous={level}.")


def main() -> None:
    """Run, verify, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="seconds, and nothing written")
    parser.add_argument("--entries", type=int, default=ENTRIES)
    parser.add_argument("--processes", type=int, default=None, help="that sign")
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to be measured")
    given = parser.parse_args()
    count = QUICK_ENTRIES if given.quick else given.entries
    cores = len(os.sched_getaffinity(0))
    processes = signing_processes(cores) if given.processes is None else given.processes
    records = made_records(count)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        keys = Path(folder) / "keys"
        rows = []
        for number in sorted({0, processes}):
            with Store(Path(folder) / f"{number}.db", keys=keys) as store:
                assert_durable(store)
                rows.append(write_all(store, records, number))
                if number == processes:
                    rows += [*prove(store, count), verified(store, keys, count + 1)]
    figure = max(row["entries_per_s"] for row in rows if row["name"].startswith("write"))
    if given.quick:
        print(json.dumps(rows, indent=1))
        return
    report(
        "ledger", rows, Headline(figure, "signed entries/s", BAR, AIM),
        note=f"{cores} cores; SQLite {sqlite3.sqlite_version}, WAL, synchronous=FULL, one value a "
        "record; records are objects in memory when the clock starts. Canonical JSON, SHA-256, "
        "signature, values, tree, checkpoint and fsync are within it.",
    )  # fmt: skip


if __name__ == "__main__":
    main()
