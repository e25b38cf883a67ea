"""Neighbour graphs of all of mp36k within 5 angstrom, against pymatgen, matscipy and vesin.

Each program gives both atoms, the cell shift and the distance of every edge, on one thread, and
all must find the same number of edges. Peers are called in a loop over arrays that are prepared
beforehand, in the fastest way that their Python interface offers, and what they return is
dropped at once; ``neighbours`` starts from ``Crystals`` and keeps every edge. A row for
``stream_neighbours`` drops its parts as the peers do.

``python -m benchmarks.graph`` takes two to four minutes; ``--quick`` takes 1,000 crystals, some
seconds, and writes nothing.
"""

from __future__ import annotations

from benchmarks.harness import Headline, Timing, data_folder, measure, pin_threads, report

pin_threads()

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import read
from materialabs.crystals.neighbours import neighbours, stream_neighbours

CUTOFF = 5.0
"""Angstrom."""

BAR, AIM = 4.0, 8.0
REPEATS = 5
QUICK_CRYSTALS = 1000
SAME_PLACE = 1e-8
"""Angstrom; pymatgen lists every atom as its own neighbour at no distance."""

Cells = list[tuple[np.ndarray, np.ndarray]]


def prepared(crystals: Crystals) -> Cells:
    """Cell and Cartesian coordinates of each crystal, as the peers want them."""
    positions = np.split(crystals.positions, crystals.offsets[1:-1])
    return [
        (np.ascontiguousarray(cell), np.ascontiguousarray(atoms))
        for cell, atoms in zip(crystals.lattice, positions, strict=True)
    ]


def by_pymatgen(cells: Cells) -> int:
    """Count edges with the compiled function below ``Structure.get_neighbor_list``."""
    from pymatgen.optimization.neighbors import find_points_in_spheres

    periodic = np.ones(3, dtype=np.int64)
    edges = 0
    for cell, atoms in cells:
        first, second, shift, distance = find_points_in_spheres(
            atoms, atoms, r=CUTOFF, pbc=periodic, lattice=cell, tol=SAME_PLACE
        )
        others = (first != second) | (distance > SAME_PLACE)
        first, second = first[others], second[others]
        shift, distance = shift[others], distance[others]
        edges += len(first)
    return edges


def by_matscipy(cells: Cells) -> int:
    """Count edges with matscipy's neighbour list, given arrays."""
    from matscipy.neighbours import neighbour_list

    periodic = np.ones(3, dtype=bool)
    edges = 0
    for cell, atoms in cells:
        found = neighbour_list(
            "ijSd", positions=atoms, cell=cell, pbc=periodic, cutoff=CUTOFF + SAME_PLACE
        )
        edges += len(found[0])
    return edges


def by_vesin(cells: Cells) -> int:
    """Count edges with vesin, one calculator for all and no copies of what it returns."""
    from vesin import NeighborList

    calculator = NeighborList(cutoff=CUTOFF + SAME_PLACE, full_list=True, n_threads=1)
    edges = 0
    for cell, atoms in cells:
        found = calculator.compute(atoms, cell, True, "ijSd", copy=False)
        edges += len(found[0])
    return edges


def row(name: str, timing: Timing, crystals: int) -> dict[str, Any]:
    """One line of the result."""
    return {
        "name": name,
        "edges": timing.result,
        "crystals_per_s": crystals / timing.median,
        "time_per_edge_ns": timing.median / timing.result * 1e9,
        **timing.figures(),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="1,000 crystals, and no result file")
    quick = parser.parse_args().quick
    crystals = read(data_folder() / "structures" / "mp36k.jsonl.gz")
    if quick:
        crystals = crystals[:: len(crystals) // QUICK_CRYSTALS]
    cells = prepared(crystals)

    def stream(threads: int) -> int:
        parts = stream_neighbours(crystals, CUTOFF, threads=threads)
        return sum(len(found) for _, found in parts)

    ours: dict[str, Callable[[], int]] = {
        "materialabs neighbours, 1 thread, every edge kept": lambda: len(
            neighbours(crystals, CUTOFF)
        ),
        "materialabs stream_neighbours, 1 thread": lambda: stream(1),
        "materialabs neighbours, 2 threads, every edge kept": lambda: len(
            neighbours(crystals, CUTOFF, threads=2)
        ),
    }
    peers: dict[str, Callable[[], int]] = {
        "pymatgen find_points_in_spheres": lambda: by_pymatgen(cells),
        "matscipy neighbour_list": lambda: by_matscipy(cells),
        "vesin NeighborList": lambda: by_vesin(cells),
    }
    timings = {name: measure(work, repeats=REPEATS) for name, work in (ours | peers).items()}
    found = {timing.result for timing in timings.values()}
    if len(found) > 1:
        raise SystemExit(f"The programs disagree on the number of edges: {sorted(found)}.")
    best = min(timings[name].median for name in peers)
    rows = [row(name, timing, len(crystals)) for name, timing in timings.items()]
    for line, timing in zip(rows, timings.values(), strict=True):
        line["best_peer_over_this"] = best / timing.median
    speed = best / timings[next(iter(ours))].median
    if quick:
        print(f"{speed:.1f} times the fastest peer on {len(crystals)} crystals")
        return
    report("graph", rows, Headline(speed, "times the fastest peer", BAR, AIM))


if __name__ == "__main__":
    main()
