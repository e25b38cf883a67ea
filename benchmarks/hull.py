"""Hull distances: 100,000 compositions in one system, and a whole database in its own systems.

The peer is pymatgen: ``PhaseDiagram`` in one system, on a stated part of the candidates (its time
for each candidate, times all of them, is what stands in the ratio), and ``PatchedPhaseDiagram`` on
the whole of mp36k. Both sides start from parsed compositions with their energies, and both sides'
times include building the hull. About 5 minutes on a quiet machine, nearly all of it the peer.

``python -m benchmarks.hull [--quick]``
"""

from __future__ import annotations

import gzip
import json
import sys
import time
import warnings
from typing import Any

from benchmarks.harness import Headline, data_folder, measure, pin_threads, report

pin_threads()

import numpy as np

from materialabs.crystals.compositions import Compositions
from materialabs.elements import SYMBOLS
from materialabs.hull.hull import Hull
from materialabs.hull.patches import judge
from materialabs.levels import MP2018, Energies, Level

SEED = 20240501
LEVEL = Level("PBE")
ELEMENTS = (3, 8, 15, 16, 25, 26, 28, 12, 13)
PHASES, CANDIDATES = 1_000, 100_000
PEER_CANDIDATES = {5: 2_000, 6: 300, 7: 100}
"""How many of the candidates pymatgen is given, by number of elements."""

AGREEMENT = 1e-8
"""eV/atom; a larger difference ends the run."""

BAR, AIM, DATABASE_BAR = 500.0, 1_500.0, 100.0


def distinct(rng: np.random.Generator, size: int, count: int, largest: int, most: int) -> Any:
    """Distinct compositions of two to ``most`` elements with amounts up to ``largest`` [n, k]."""
    found: dict[tuple[int, ...], None] = {}
    while len(found) < count:
        amounts = rng.integers(1, largest + 1, (count, size))
        kept = rng.integers(2, min(size, most) + 1, count)
        rank = np.argsort(np.argsort(rng.random((count, size)), axis=1), axis=1)
        amounts[rank >= kept[:, None]] = 0
        amounts //= np.gcd.reduce(amounts, axis=1)[:, None]
        found.update(dict.fromkeys(map(tuple, amounts.tolist())))
    return np.array(list(found)[:count])


def formation(amounts: Any, affinity: Any, rng: np.random.Generator) -> Any:
    """Formation energies of a solution model, -sum x_i x_j w_ij, scattered by 0.1 eV/atom."""
    x = amounts / amounts.sum(axis=1, keepdims=True)
    return -np.einsum("ni,ij,nj->n", x, affinity, x) + rng.normal(0.0, 0.1, len(x))


def system(size: int, candidates: int) -> tuple[Compositions, Energies, Compositions, Energies]:
    """Phases and candidates of a system with realistic energies, the same in every run."""
    rng = np.random.default_rng(SEED + size)
    affinity = np.triu(rng.uniform(0.5, 4.0, (size, size)), 1)
    parts = []
    for amounts in (distinct(rng, size, PHASES, 8, 5), distinct(rng, size, candidates, 20, size)):
        rows = [{ELEMENTS[i]: float(v) for i, v in enumerate(row) if v} for row in amounts.tolist()]
        energies = Energies(formation(amounts, affinity, rng), "formation", LEVEL)
        parts += [Compositions.from_dicts(rows), energies]
    return parts[0], parts[1], parts[2], parts[3]


def peer_entries(compositions: Compositions, energies: Energies) -> list[Any]:
    """The same as pymatgen's entries."""
    from pymatgen.analysis.phase_diagram import PDEntry
    from pymatgen.core import Composition

    return [
        PDEntry(Composition({SYMBOLS[z]: v for z, v in row.items()}), energy * sum(row.values()))
        for row, energy in zip(compositions, energies.values.tolist(), strict=True)
    ]


def peer_elements(compositions: Compositions) -> list[Any]:
    """The elements at zero, which pymatgen does not add by itself."""
    from pymatgen.analysis.phase_diagram import PDEntry
    from pymatgen.core import Composition

    return [PDEntry(Composition(SYMBOLS[z]), 0.0) for z in compositions.present()]


def check(ours: Any, theirs: Any, what: str) -> float:
    """Largest difference in eV/atom; ends the run when it is above ``AGREEMENT``."""
    worst = float(np.abs(np.asarray(ours) - np.asarray(theirs)).max())
    if not worst < AGREEMENT:
        sys.exit(f"{what}: distances differ from pymatgen's by {worst} eV/atom.")
    return worst


def one_system(size: int, candidates: int, peer_count: int) -> dict[str, Any]:
    """Our time for all candidates and pymatgen's for a part of them."""
    from pymatgen.analysis.phase_diagram import PhaseDiagram

    phases, energies, asked, values = system(size, candidates)
    build = measure(lambda: Hull(phases, energies), repeats=5)
    whole = measure(lambda: Hull(phases, energies).distance(asked, values), repeats=5)
    hull: Hull = build.result
    query = measure(lambda: hull.distance(asked, values), repeats=5)
    entries = [*peer_entries(phases, energies), *peer_elements(phases)]
    wanted = peer_entries(asked[:peer_count], values[:peer_count])
    start = time.perf_counter()
    diagram = PhaseDiagram(entries)
    peer_build = time.perf_counter() - start
    start = time.perf_counter()
    theirs = [
        diagram.get_e_above_hull(entry, allow_negative=True, check_stable=False) for entry in wanted
    ]
    each = (time.perf_counter() - start) / peer_count
    peer_whole = peer_build + each * candidates
    return {
        "name": f"{size} elements, {PHASES} phases, {candidates} distinct compositions",
        "ratio": peer_whole / whole.median,
        "ratio_without_building": each * candidates / query.median,
        "facets": len(hull.facets),
        **whole.figures(),
        "build_median_s": build.median,
        "microseconds_a_candidate": 1e6 * query.median / candidates,
        "pymatgen_build_s": peer_build,
        "pymatgen_microseconds_a_candidate": 1e6 * each,
        "pymatgen_candidates_run": peer_count,
        "pymatgen_whole_extrapolated_s": peer_whole,
        "largest_difference_ev_per_atom": check(whole.result[:peer_count], theirs, f"{size}"),
    }


def many_elements(size: int, candidates: int, peer_count: int) -> dict[str, Any]:
    """Where facets are too many to list: linear programmes, against HiGHS one by one."""
    from scipy.optimize import linprog

    phases, energies, asked, values = system(size, candidates)
    build = measure(lambda: Hull(phases, energies), repeats=1, warm=0)
    whole = measure(lambda: build.result.distance(asked, values), repeats=3)
    hull: Hull = build.result
    points = hull.lower.points
    stable = hull.lower.stable
    x = asked[:peer_count].fractions(hull.elements)
    start = time.perf_counter()
    lowest = [
        linprog(points.energies[stable], A_eq=points.fractions[stable].T, b_eq=row).fun for row in x
    ]
    each = (time.perf_counter() - start) / peer_count
    theirs = values.values[:peer_count] - np.array(lowest)
    return {
        "name": f"{size} elements, {PHASES} phases, {candidates} distinct compositions, by "
        "linear programme",
        "facets_listed": hull.lower.facets is not None,
        **whole.figures(),
        "build_s": build.median,
        "microseconds_a_candidate": 1e6 * whole.median / candidates,
        "highs_through_scipy_microseconds_a_candidate": 1e6 * each,
        "largest_difference_ev_per_atom": check(whole.result[:peer_count], theirs, f"{size}"),
    }


def database(count: int | None) -> dict[str, Any]:
    """All of mp36k (or its first entries), every entry in its own chemical system."""
    from pymatgen.analysis.phase_diagram import PatchedPhaseDiagram

    path = data_folder() / "structures" / "mp36k.jsonl.gz"
    with gzip.open(path, "rt") as lines:
        rows = [json.loads(line) for line in lines][:count]
    compositions = Compositions.parse([row["formula"] for row in rows])
    energies = Energies([row["e_form_per_atom"] for row in rows], "formation", MP2018)
    timing = measure(lambda: judge(compositions, energies), repeats=5)
    wanted = peer_entries(compositions, energies)
    entries = [*wanted, *peer_elements(compositions)]
    start = time.perf_counter()
    diagram = PatchedPhaseDiagram(entries)
    peer_build = time.perf_counter() - start
    theirs = [diagram.get_e_above_hull(entry, check_stable=False) for entry in wanted]
    peer = time.perf_counter() - start
    return {
        "name": f"mp36k, {len(rows)} entries, each in its own chemical system",
        "ratio": peer / timing.median,
        "ratio_bar": DATABASE_BAR,
        "ratio_met": peer / timing.median >= DATABASE_BAR,
        **timing.figures(),
        "pymatgen_build_s": peer_build,
        "pymatgen_whole_s": peer,
        "stable": int(timing.result.stable.sum()),
        "largest_difference_ev_per_atom": check(timing.result.distance, theirs, "mp36k"),
    }


def main() -> None:
    """Run all rows and write the result."""
    warnings.filterwarnings("ignore")
    quick = "--quick" in sys.argv[1:]
    candidates = 2_000 if quick else CANDIDATES
    sizes = (5,) if quick else (5, 6, 7)
    rows = [one_system(k, candidates, 50 if quick else PEER_CANDIDATES[k]) for k in sizes]
    rows.append(database(1_000 if quick else None))
    if quick:
        for row in rows:
            print(row)
        return
    rows.append(many_elements(9, 20_000, 300))
    headline = Headline(rows[0]["ratio"], "times pymatgen, building included", BAR, AIM)
    report(
        "hull",
        rows,
        headline,
        "One thread each. pymatgen judges the first candidates only, as many as its row says; its "
        "time for all is extrapolated from them. Our figure for mp36k includes the decomposition "
        "energies, which the peer is not asked for.",
    )


if __name__ == "__main__":
    main()
