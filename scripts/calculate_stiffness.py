"""Calculate how stiff known crystals and random alloys are, for a source that ships.

::

    python scripts/calculate_stiffness.py --folder work/stiffness
    python scripts/calculate_stiffness.py --folder work/stiffness --pack
    python scripts/train_transfer_source.py stiffness --stiffness

Each part is one file in the folder, so that a stopped run goes on; ``--first`` and ``--step`` share
the parts among processes. One core takes an hour and a half.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from benchmarks.calculated_stiffness import Stiffness, values_of_solutions, values_of_vibrations
from benchmarks.harness import data_folder
from benchmarks.peers import keep
from benchmarks.strained_crystals import drawn, element_references, on_sites, solutions, vibrations

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import read
from materialabs.oracles.chgnet import HEAVIEST, ChgnetOracle

LARGEST = 24
"""Atoms of a known crystal."""

AT_ONCE, HALVES = 100, 2
"""Known crystals of a part; what is shuffled is cut into so many, each counted from zero."""

SOLUTIONS, TOGETHER = 10_000, 50
"""Random solutions, and those of a part."""


def main() -> None:
    """Calculate what is missing, or pack what is there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--pack", action="store_true", help="write what the source learns from")
    arguments = parser.parse_args()
    if arguments.pack:
        pack(arguments.folder)
        return
    known = lowest()
    parts = [
        *(("solutions", 0, start) for start in range(0, SOLUTIONS, TOGETHER)),
        *(("known", half, start) for half in range(HALVES)
          for start in range(0, len(known[half::HALVES]), AT_ONCE)),
    ]  # fmt: skip
    oracle = ChgnetOracle(device="cpu")
    for kind, half, start in parts[arguments.first :: arguments.step]:
        place = arguments.folder / f"{kind}-{half}-{start:06d}.npz"
        if place.exists():
            continue
        begun = time.perf_counter()
        if kind == "solutions":
            random = np.random.default_rng(start // TOGETHER)
            numbers = np.array([drawn(random) for _ in range(TOGETHER)])
            keep(place, numbers=numbers, **solutions(oracle, numbers))
        else:
            some = light_enough(known[half::HALVES][start : start + AT_ONCE])
            keep(place, names=np.array(some.reduced_formulas()),
                 **vibrations(oracle, some, start))  # fmt: skip
        print(place.name, f"{time.perf_counter() - begun:.0f} s", flush=True)


def lowest() -> Crystals:
    """Of each formula of mp36k the crystal of lowest energy, if it is small, in a random order."""
    crystals: Any = read(data_folder() / "structures" / "mp36k.jsonl.gz")
    energies = np.asarray(crystals.columns["formation_energy"], dtype=float)
    formulas = np.array(crystals.reduced_formulas())
    order = np.lexsort((energies, formulas))
    first = order[np.r_[True, formulas[order][1:] != formulas[order][:-1]]]
    small = first[crystals.counts[first] <= LARGEST]
    chosen: Crystals = crystals.take(np.random.default_rng(1).permutation(small))
    return chosen


def light_enough(crystals: Crystals) -> Crystals:
    """Those of elements that CHGNet knows."""
    heavy = np.bincount(crystals.owners, crystals.numbers > HEAVIEST, len(crystals)) > 0
    return crystals.take(np.flatnonzero(~heavy))


def pack(folder: Path) -> None:
    """Join all parts into the table that the source is trained on."""
    solved, known = (gathered(sorted(folder.glob(f"{kind}-*.npz")))
                     for kind in ("solutions", "known"))  # fmt: skip
    numbers = solved.pop("numbers")
    references = element_references(ChgnetOracle(device="cpu"))
    table = Stiffness.joined(
        (
            on_sites("bcc", numbers).reduced_formulas(),
            values_of_solutions(numbers, solved, references),
        ),
        (known.pop("names").tolist(), values_of_vibrations(known)),
    )
    table.save()
    print(f"{len(table.formulas)} formulas; known of each quantity:",
          np.isfinite(table.values).sum(axis=0).tolist())  # fmt: skip


def gathered(paths: list[Path]) -> dict[str, np.ndarray]:
    """Columns of all parts, one after the other."""
    parts = []
    for path in paths:
        with np.load(path, allow_pickle=False) as file:
            parts.append({name: file[name] for name in file.files})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


if __name__ == "__main__":
    main()
