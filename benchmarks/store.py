"""First page and count of eight queries over 200,000 structures, against ASE db and OPTIMADE's own.

The structures are made by substitution on mp36k (:mod:`benchmarks.substituted_structures`), with
band gaps and formation energies. Each side answers every question with the first 20 structures and
the number of all; the counts must agree. ASE db gets the same structures in its SQLite file with
the values as key-value pairs, and the nearest question that it can ask (a Python filter where its
SQL cannot say it). The reference server (its parser and translation over mongomock, in
``.validator-venv``) gets the first structures only, since it scans all of them for each question,
and is compared with a store of the same structures.

* warm: the middle of several repeats in one process;
* cold: a fresh process for each question, from the opening of the store to the answer (imports
  are done before the clock starts, the system's file cache is not emptied).

The headline is the smallest ratio of a peer's warm time to ours. ``--folder DIR --structures N``
builds (or goes on building) a store of N structures there, 5,000,000 for the release, and measures
rate, bytes a structure, p95 of page and count of the same queries and of 500 different ones
(:mod:`benchmarks.mixed_queries`), and memory; the peers are left out of that.

``python -m benchmarks.store`` takes about ten minutes; ``--quick`` half a minute on 5,000
structures and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Headline, measure, pin_threads, report

pin_threads()

from benchmarks.mixed_queries import mixed_queries
from benchmarks.substituted_structures import build, size_of
from materialabs.store.store import Store

STRUCTURES, QUICK_STRUCTURES = 200_000, 5_000
REFERENCE_STRUCTURES = 5_000
PAGE = 20
REPEATS, PEER_REPEATS, LARGE_REPEATS = 15, 3, 40
MIXED, MIXED_SEED = 500, 3
BAR, AIM = 10.0, 100.0
P95_BAR_SECONDS, MEMORY_BAR_BYTES = 0.5, 4 << 30


@dataclass(frozen=True)
class Question:
    """One query as each side asks it.

    Parameters
    ----------
    filter, sort
        Ours.
    ase
        ASE's selection.
    ase_sort
        ASE's sort key.
    ase_filter
        What ASE's SQL cannot say, as a function of its row.
    """

    filter: str
    ase: str = ""
    sort: str = ""
    ase_sort: str | None = None
    ase_filter: Callable[[Any], bool] | None = None


def questions(store: Store) -> dict[str, Question]:
    """The listed queries; formula and id are those of a structure in the middle."""
    middle = store.query('id!=""').page(50).rows[-1]
    allowed = {"Li", "P", "S", "O"}
    return {
        "hexagonal, gap 1-2": Question(
            'crystal_system="hexagonal" AND band_gap>=1 AND band_gap<=2',
            "crystal_system=hexagonal,band_gap>=1,band_gap<=2",
        ),
        "HAS ALL Li,O": Question('elements HAS ALL "Li","O"', "Li,O"),
        "HAS ONLY Li,P,S,O": Question(
            'elements HAS ONLY "Li","P","S","O"', ase_filter=lambda row: set(row.symbols) <= allowed
        ),
        "formula =": Question(
            f'formula="{middle["formula"]}"', f"reduced=x{middle['formula']}"
        ),
        "nelements = 3": Question("nelements=3", "nelements=3"),
        "formula CONTAINS Fe2": Question(
            'formula CONTAINS "Fe2"', ase_filter=lambda row: "Fe2" in row.reduced
        ),
        "binaries by gap": Question(
            "nelements=2", "nelements=2", sort="-band_gap", ase_sort="-band_gap"
        ),
        "by id": Question(f'id="{middle["name"]}"', f"name=x{middle['name']}"),
    }  # fmt: skip


def ask(store: Store, question: Question) -> tuple[int, list[str]]:
    """Our answer: count, and names on the first page."""
    count, page = store.query(question.filter, sort=question.sort).counted_page(PAGE)
    return count, [row["name"] for row in page.rows]


def fill_ase(store: Store, database: Any) -> None:
    """Give ASE db the same; texts begin with x, since it refuses those that read as numbers."""
    columns = ("crystal_system", "band_gap", "nelements", "formation_energy")
    with database:
        rows = iter(store.query())
        while part := list(islice(rows, 1000)):
            crystals = store.crystals([row["id"] for row in part]).to_ase()
            for row, atoms in zip(part, crystals, strict=True):
                values = {name: row[name] for name in columns if row[name] is not None}
                named = {"name": "x" + row["name"], "reduced": "x" + row["formula"]}
                database.write(atoms, values | named)


def ask_ase(database: Any, question: Question) -> tuple[int, list[str]]:
    """ASE's answer to the nearest question."""
    if question.ase_filter is not None:
        chosen = [row.name for row in database.select(include_data=False)
                  if question.ase_filter(row)]  # fmt: skip
        return len(chosen), chosen[:PAGE]
    page = database.select(
        question.ase or None, sort=question.ase_sort, limit=PAGE, include_data=False
    )
    return database.count(question.ase or None), [row.name for row in page]


def reference(store: Store, asked: dict[str, Question], folder: Path, count: int) -> dict[str, Any]:
    """Seconds of the OPTIMADE reference implementation over the first structures."""
    python = ROOT / ".validator-venv" / "bin" / "python"
    if not python.exists():
        print("  no .validator-venv: the reference server is left out; run make validator")
        return {}
    with (folder / "documents.jsonl").open("w") as lines:
        for row in islice(store.query(), count):
            document = {name: row[name] for name in
                        ("formula", "nelements", "crystal_system", "band_gap")}  # fmt: skip
            symbols = sorted(set(_symbols(row["formula"])))
            lines.write(json.dumps(document | {"id": row["name"], "elements": symbols}) + "\n")
    (folder / "questions.json").write_text(
        json.dumps(
            {
                name: {"filter": one.filter, "sort": ["band_gap", -1] if one.sort else None}
                for name, one in asked.items()
            }
        )
    )
    done = subprocess.run(
        [python, ROOT / "benchmarks" / "optimade_reference.py", folder / "documents.jsonl",
         folder / "questions.json", str(PEER_REPEATS)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _symbols(formula: str) -> list[str]:
    return re.findall(r"[A-Z][a-z]?", formula)


COLD = """
import sys, time
from pathlib import Path
from materialabs.store.store import Store
import materialabs.store.query, materialabs.store.filters.sql
start = time.perf_counter()
with Store(sys.argv[1], keys=Path(sys.argv[2])) as store:
    results = store.query(sys.argv[3], sort=sys.argv[4])
    results.counted_page(int(sys.argv[5]))
    print(time.perf_counter() - start)
"""


def cold(place: Path, keys: Path, question: Question) -> float:
    """Seconds in a fresh process, from the opening of the store to the answer."""
    done = subprocess.run(
        [sys.executable, "-c", COLD, place, keys, question.filter, question.sort, str(PAGE)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


def compare(place: Path, keys: Path, count: int, few: int) -> tuple[list[dict[str, Any]], float]:
    """All questions to all sides; rows, and the smallest ratio."""
    import ase.db

    warnings.filterwarnings("ignore", module="ase")
    small_place = place.with_name("few.db")
    with Store(place, keys=keys) as store, Store(small_place, keys=keys) as small:
        rows = [built(store, place, count)]
        built(small, small_place, few)
        asked = questions(store)
        database = ase.db.connect(place.with_name("ase.db"), append=False)
        start = time.perf_counter()
        fill_ase(store, database)
        rate = count / (time.perf_counter() - start)
        rows.append({"name": "ASE db, fill", "structures_per_s": rate})
        scanned = reference(store, asked, place.parent, few)
        smallest = float("inf")
        for name, question in asked.items():
            own = measure(lambda q=question: ask(store, q), repeats=REPEATS)
            peer = measure(lambda q=question: ask_ase(database, q), repeats=PEER_REPEATS, warm=0)
            if own.result[0] != peer.result[0]:
                raise SystemExit(f"{name}: {own.result[0]} here, {peer.result[0]} in ASE db.")
            ratios = {"ase": peer.median / own.median}
            if name in scanned:
                own_few = measure(lambda q=question: ask(small, q), repeats=REPEATS)
                ratios["reference"] = scanned[name]["seconds"] / own_few.median
            smallest = min(smallest, *ratios.values())
            rows.append(
                {
                    "name": name,
                    "count": own.result[0],
                    "warm_ms": own.median * 1e3,
                    "cold_ms": cold(place, keys, question) * 1e3,
                    "ase_ms": peer.median * 1e3,
                    **({"reference_of_fewer_ms": scanned[name]["seconds"] * 1e3}
                       if name in scanned else {}),
                    **{f"ratio_to_{peer_name}": ratio for peer_name, ratio in ratios.items()},
                }
            )  # fmt: skip
    return rows, smallest


def built(store: Store, place: Path, count: int) -> dict[str, Any]:
    """Build what is missing; rate of all runs that built it together, and bytes a structure."""
    _ = store.identity  # asked for once, so that the keys are made before the clock starts
    notes = place.with_suffix(".built.json")
    known = json.loads(notes.read_text()) if notes.exists() else {"structures": 0, "seconds": 0.0}
    before, seconds = len(store), 0.0
    for done, spent in build(store, count):
        seconds += spent
        if done % 100_000 == 0:
            print(f"  {done} structures, {(done - before) / seconds:.0f} a second", flush=True)
            made = {"structures": known["structures"] + done - before,
                    "seconds": known["seconds"] + seconds}  # fmt: skip
            notes.write_text(json.dumps(made))
    start = time.perf_counter()
    store.settle()  # as a store does when it is closed
    seconds += time.perf_counter() - start
    made = {"structures": known["structures"] + max(0, count - before),
            "seconds": known["seconds"] + seconds}  # fmt: skip
    notes.write_text(json.dumps(made))
    return {
        "name": "build, signed and logged",
        "structures": count,
        "of_these_timed": made["structures"],
        "structures_per_s": made["structures"] / made["seconds"],
        "bytes_per_structure": size_of(place) / count,
    }


def large(place: Path, keys: Path, count: int) -> list[dict[str, Any]]:
    """Rate, size, p95 of page and count, and memory of a large store."""
    with Store(place, keys=keys) as store:
        rows = [built(store, place, count)]
        for name, question in questions(store).items():
            timing = measure(lambda q=question: ask(store, q), repeats=LARGE_REPEATS, warm=1)
            rows.append(
                {
                    "name": f"{count} structures: {name}",
                    "count": timing.result[0],
                    **_quantiles(timing.seconds),
                }
            )
        rows.append(_mixed(store, count))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    rows.append({"name": "memory at its peak", "bytes": peak, "met": peak <= MEMORY_BAR_BYTES})
    return rows


def _quantiles(seconds: list[float]) -> dict[str, Any]:
    listed = sorted(seconds)
    p95 = listed[int(0.95 * len(listed))]
    return {"p95_s": p95, "median_s": listed[len(listed) // 2], "met": p95 <= P95_BAR_SECONDS}


def _mixed(store: Store, count: int) -> dict[str, Any]:
    """Page and count of queries that are all different, each asked once."""
    seconds, slowest = [], ("", 0.0)
    for query in mixed_queries(store, MIXED, MIXED_SEED):
        start = time.perf_counter()
        store.query(query.filter, sort=query.sort).counted_page(PAGE)
        seconds.append(time.perf_counter() - start)
        slowest = max(slowest, (f"{query.filter} by {query.sort}", seconds[-1]), key=lambda x: x[1])
    return {
        "name": f"{count} structures: {MIXED} different queries, each once",
        **_quantiles(seconds),
        "max_s": max(seconds),
        "slowest": slowest[0],
    }


def main() -> None:
    """Run, compare, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="seconds, and nothing written")
    parser.add_argument("--folder", type=Path, help="where a large store is built or stands")
    parser.add_argument("--structures", type=int, default=None)
    given = parser.parse_args()
    if given.folder is not None:
        given.folder.mkdir(parents=True, exist_ok=True)
        rows = large(given.folder / "lab.db", given.folder / "keys", given.structures or STRUCTURES)
        worst = max(row["p95_s"] for row in rows if "p95_s" in row)
        report("store_large", rows, Headline(worst, "s (largest p95)", P95_BAR_SECONDS, 0.1, False))
        return
    count = QUICK_STRUCTURES if given.quick else given.structures or STRUCTURES
    few = min(count, REFERENCE_STRUCTURES)
    with tempfile.TemporaryDirectory() as folder:
        rows, smallest = compare(Path(folder) / "lab.db", Path(folder) / "keys", count, few)
    if given.quick:
        print(json.dumps(rows, indent=1))
        return
    report(
        "store", rows, Headline(smallest, "times the fastest peer, smallest", BAR, AIM),
        note=f"{count} structures from MP data (Materials Project, CC BY 4.0); the reference "
        f"server holds the first {few} only and is compared with a store of the same ones. Cold is "
        "a fresh process with its imports done; the system's file cache is warm.",
    )  # fmt: skip


if __name__ == "__main__":
    main()
